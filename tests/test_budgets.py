"""Budgets: how a limit is written, which device it is for, and which one holds where markers stack."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpuperf.budgets.collect import LEVELS, choose, device_matches, literal_characters, read_limits, read_marks, stack
from pytest_gpuperf.budgets.grammar import find_metric, parse_limit
from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.metrics import METRICS, UNITS

H200 = "NVIDIA H200"


def row(text, op, number, unit, statistic="p50", quantity="time"):
    return pytest.param(quantity, text, (statistic, op, number, unit), id=f"{quantity}:{text}")


@pytest.mark.parametrize(
    ("quantity", "text", "expected"),
    [
        row("<= 12 us", "<=", 12e-6, "s"),
        row("<=12us", "<=", 12e-6, "s"),
        row("  <=   12   us  ", "<=", 12e-6, "s"),
        row("< 12 us", "<", 12e-6, "s"),
        row("> 12 us", ">", 12e-6, "s"),
        row(">= 12 us", ">=", 12e-6, "s"),
        row("<= 12 µs", "<=", 12e-6, "s"),
        row("<= 12 μs", "<=", 12e-6, "s"),
        row("<= 860 ns", "<=", 860e-9, "s"),
        row("<= 1.5 ms", "<=", 1.5e-3, "s"),
        row("<= .5 s", "<=", 0.5, "s"),
        row("<= 5. s", "<=", 5.0, "s"),
        row("<= 1e-5 s", "<=", 1e-5, "s"),
        row("<= 1.2E+3 ns", "<=", 1.2e-6, "s"),
        row("<= 1,200 us", "<=", 1.2e-3, "s"),
        row("<= 1,234,567.5 ns", "<=", 1234567.5e-9, "s"),
        row("<= 1_200 us", "<=", 1.2e-3, "s"),
        row("<= +12 us", "<=", 12e-6, "s"),
        row("p50 <= 12 us", "<=", 12e-6, "s"),
        row("p95 <= 12 us", "<=", 12e-6, "s", "p95"),
        row("p99<=20us", "<=", 20e-6, "s", "p99"),
        row(">= 80 %", ">=", 80.0, "%"),
        row("p99 <= 1.3 x roof", "<=", 1.3, "x roof", "p99"),
        row("<= 1.3x roof", "<=", 1.3, "x roof"),
        row("<= 1.3 xroof", "<=", 1.3, "x roof"),
        row("<= 1.3 x  roof", "<=", 1.3, "x roof"),
        row("<= 1.3 × roof", "<=", 1.3, "x roof"),
        row("<= 1.3×roof", "<=", 1.3, "x roof"),
        row(">= 92%", ">=", 92.0, "%", quantity="bandwidth"),
        row(">= 3.9 TB/s", ">=", 3.9e12, "B/s", quantity="bandwidth"),
        row(">= 3900 GB/s", ">=", 3.9e12, "B/s", quantity="bandwidth"),
        row(">= 1 GiB/s", ">=", 2.0**30, "B/s", quantity="bandwidth"),
        row("p95 <= 3 us", "<=", 3e-6, "s", "p95", "host_time"),
        row("<= 20 us", "<=", 20e-6, "s", quantity="wall_time"),
        row("<= 2 s", "<=", 2.0, "s", quantity="first_call"),
    ],
)
def test_a_limit_is_read(quantity, text, expected):
    limit = parse_limit(quantity, text)
    assert (limit.statistic, limit.op, limit.number, limit.unit) == expected
    assert limit.relative is (expected[3] in {"%", "x roof"})
    assert parse_limit(quantity, str(limit)) == parse_limit(quantity, str(limit), "elsewhere")
    assert parse_limit(quantity, str(limit)).number == pytest.approx(limit.number, rel=1e-3)
    assert limit.text == " ".join(text.split())


@pytest.mark.parametrize(
    ("quantity", "text", "story"),
    [
        ("time", "<= 12 uz", "unknown unit 'uz'; nearest 'us'"),
        ("time", "<= 12 US", "unknown unit 'US'; nearest 'us'"),
        ("time", "<= 12 us us", "unknown unit 'us us'; nearest 'us'"),
        ("time", "<= 1.3 x rof", "unknown unit 'x rof'; nearest 'x roof'"),
        ("time", "<= 12 parsec", "unknown unit 'parsec'; valid: ns, us, ms, s, %, x roof"),
        ("time", "<= 12", "needs a unit: one of ns, us, ms, s, %, x roof"),
        ("time", "<= 3 GB/s", "unknown unit 'GB/s'"),
        ("bandwidth", ">= 3 tb/s", "unknown unit 'tb/s'; nearest 'TB/s'"),
        ("bandwidth", ">= 3 us", "unknown unit 'us'"),
        ("bandwidth", "<= 1.2 x roof", "bandwidth cannot be held against 'x roof': it takes %"),
        ("host_time", "<= 80 %", "host_time cannot be held against '%': it has no roof"),
        ("time", "p90 <= 1 us", "time has no statistic 'p90'; nearest 'p9"),
        ("time", "mean <= 1 us", "time has no statistic 'mean'; valid: p50, p95, p99"),
        ("bandwidth", "p99 >= 3 TB/s", "bandwidth has no statistic 'p99'; valid: p50"),
        ("time", "== 12 us", "time has an interval, so == never decides; use <= or >="),
        ("time", "= 12 us", "unknown operator '='; use one of <= < >= > =="),
        ("time", "!= 12 us", "unknown operator '!='; use one of"),
        ("time", "12 us", "not a limit; write '[p50|p95|p99] OP NUMBER [unit | % | x roof]', as '<= 12 us'"),
        ("time", "<= us", "not a limit"),
        ("time", "=< 12 us", "not a limit"),
        ("time", "", "not a limit"),
        ("time", "<= 12,5 us", "not a limit"),
        ("time", "<= 1,20 us", "not a limit"),
        ("time", "<= 1234,567 us", "not a limit"),
        ("time", "<= 1.2.3 us", "not a limit"),
        ("time", "<= 1__2 us", "not a limit"),
        ("time", "<= 12 us\nand >= 3 us", "not a limit"),
        ("time", ">= -3 us", "-3 decides nothing: time is a finite number, 0 or more"),
        ("time", "<= 1e999 us", "1e999 decides nothing: time is a finite number"),
        ("launches", "== 1.5", "launches is a count, which 1.5 is not: write a whole number"),
        ("time", 12e-6, "a limit is a string such as '<= 12 us'"),
        ("time", None, "a limit is a string such as '<= 12 us'"),
    ],
)
def test_a_limit_that_cannot_be_read_says_where_what_and_what_is_nearest(quantity, text, story):
    with pytest.raises(BadBudget) as error:
        parse_limit(quantity, text, "test_it.py::test_x")
    assert str(error.value).startswith(f"test_it.py::test_x: {quantity}={text!r}: {story}")


def test_an_unknown_quantity_names_the_nearest():
    with pytest.raises(BadBudget, match="here: unknown quantity 'tiem'; nearest 'time'"):
        parse_limit("tiem", "<= 12 us", "here")
    with pytest.raises(BadBudget, match="here: unknown quantity 3; valid: time, bandwidth"):
        find_metric(3, "here")


@given(st.sampled_from([row for row in METRICS if UNITS.get(row.unit)]), st.floats(1e-3, 1e6), st.sampled_from(["<", "<=", ">", ">="]), st.data())
def test_every_unit_of_every_quantity_is_read_to_the_last_digit(metric, number, op, data):
    unit, scale = data.draw(st.sampled_from(sorted(UNITS[metric.unit].items())))
    limit = parse_limit(metric.name, f"{op} {number!r} {unit}")
    assert limit.number == pytest.approx(number * scale, rel=1e-15)
    assert (limit.op, limit.unit) == (op, metric.unit)


@given(st.text(max_size=20))
def test_any_text_is_a_limit_or_a_bad_budget(text):
    with contextlib.suppress(BadBudget):
        assert parse_limit("time", text).number >= 0


@pytest.mark.parametrize(
    ("glob", "device", "matches", "literal"),
    [
        ("H200", "NVIDIA H200", True, 4),
        ("h200", "NVIDIA H200", True, 4),
        ("NVIDIA H200", "NVIDIA H200", True, 4),
        ("nvidia h200*", "NVIDIA H200 NVL", True, 4),
        ("H200", "NVIDIA H200 NVL", False, 4),
        ("H200*", "NVIDIA H200 NVL", True, 4),
        ("H200 *", "NVIDIA H200 NVL", True, 5),
        ("*", "NVIDIA H200", True, 0),
        ("H?00", "NVIDIA H200", True, 3),
        ("H[12]00", "NVIDIA H100", True, 3),
        ("H[!2]00", "NVIDIA H200", False, 3),
        ("H[]2]00", "NVIDIA H200", True, 3),
        ("H[200", "NVIDIA H200", False, 5),
        ("200", "NVIDIA H200", False, 3),
        ("RTX*", "NVIDIA GeForce RTX 4090", False, 3),
        ("GeForce RTX*", "NVIDIA GeForce RTX 4090", True, 11),
        ("Tesla T4", "Tesla T4", True, 8),
    ],
)
def test_a_glob_matches_the_whole_name_less_nvidia_without_case(glob, device, matches, literal):
    assert device_matches(glob, device) is matches
    assert literal_characters(glob) == literal


def chosen(given, device=H200, quantity="time"):
    return [(one.glob, one.limit.text, one.applies) for one in choose(read_limits({quantity: given}, "here", "function marker"), device, "here")]


def test_a_limit_is_one_text_a_list_of_which_all_hold_or_a_dict_by_device():
    assert chosen("<= 12 us") == [("*", "<= 12 us", True)]
    assert chosen(["<= 12 us", ">= 3 us", "p99 <= 20 us"]) == [("*", "<= 12 us", True), ("*", ">= 3 us", True), ("*", "p99 <= 20 us", True)]
    assert chosen({"H200": ["<= 12 us", "p99 <= 20 us"], "*": "<= 1.3 x roof"}) == [("H200", "<= 12 us", True), ("H200", "p99 <= 20 us", True)]


def test_the_glob_with_more_literal_characters_wins_for_each_statistic():
    given = {"*": ["<= 30 us", "p99 <= 50 us"], "H*": "<= 20 us", "H200": "<= 12 us", "H100": "<= 15 us"}
    assert chosen(given) == [("H200", "<= 12 us", True), ("*", "p99 <= 50 us", True)]
    assert chosen(given, "NVIDIA H100") == [("H100", "<= 15 us", True), ("*", "p99 <= 50 us", True)]
    assert chosen(given, "NVIDIA H20") == [("H*", "<= 20 us", True), ("*", "p99 <= 50 us", True)]
    assert chosen(given, "NVIDIA A100") == [("*", "<= 30 us", True), ("*", "p99 <= 50 us", True)]
    for order in itertools.permutations(given):
        assert sorted(chosen({glob: given[glob] for glob in order})) == sorted(chosen(given))


@pytest.mark.parametrize("pair", [("H2*", "*00"), ("H200", "h200"), ("H200", "NVIDIA H200"), ("H20?", "H?00")], ids=str)
def test_globs_that_say_equally_much_are_refused(pair):
    with pytest.raises(BadBudget) as error:
        chosen({"*": "<= 30 us", pair[0]: "<= 12 us", pair[1]: "<= 13 us"})
    assert str(error.value) == f"here: time p50: globs {pair[0]!r} and {pair[1]!r} both match 'NVIDIA H200' and say equally much"


def test_a_tie_that_a_longer_glob_outdoes_or_that_is_for_another_device_decides_nothing():
    assert chosen({"H2*": "<= 12 us", "*00": "<= 13 us", "H20*": "<= 11 us"}) == [("H20*", "<= 11 us", True)]
    assert chosen({"H2*": "<= 12 us", "*00": "<= 13 us"}, "NVIDIA H20") == [("H2*", "<= 12 us", True)]


def test_a_limit_for_other_devices_does_not_apply_and_names_its_globs():
    assert chosen({"H100": "<= 12 us", "A*": "<= 20 us"}) == [("H100, A*", "<= 12 us", False)]


def test_without_a_device_the_most_general_glob_stands_for_all_and_nothing_is_for_another_device():
    assert chosen({"H200": "<= 12 us", "*": "<= 1.3 x roof"}, None) == [("*", "<= 1.3 x roof", True)]
    assert chosen({"H200": "<= 12 us"}, None) == [("H200", "<= 12 us", True)]
    assert chosen({"H2*": "<= 12 us", "*00": "<= 13 us"}, None)[0][2] is True


@pytest.mark.parametrize(
    ("given", "story"),
    [
        ({}, "here: time={} holds no limit"),
        ([], r"here: time=\[\] holds no limit"),
        ({"H200": []}, r"here: time=\[\] holds no limit"),
        ({"": "<= 1 us"}, "here: time: '' is no device glob"),
        ({"sm_90": "<= 1 us"}, "here: time: 'sm_90' is an architecture, which only limits on machine code have; name a device, as 'H200'"),
        ({200: "<= 1 us"}, "here: time: 200 is no device glob; write as 'H200' or '\\*'"),
        ({"H200": 12}, "here: time=12: a limit is a string"),
        ([["<= 1 us"]], "a limit is a string"),
    ],
)
def test_what_holds_no_limit_is_refused(given, story):
    with pytest.raises(BadBudget, match=story):
        read_limits({"time": given}, "here", "function marker")


def marks(*pairs, device=H200):
    """Read markers given as (level, keywords)."""
    return read_marks([(level, pytest.mark.gpuperf(**keywords).mark) for level, keywords in pairs], device, "here")


def texts(*pairs, device=H200):
    return sorted((one.of, one.limit.text, one.origin, one.applies) for one in marks(*pairs, device=device).budgets)


def test_the_nearest_level_wins_whatever_the_order_of_the_markers():
    pairs = [(level, {"time": f"<= {place + 1} us"}) for place, level in enumerate(LEVELS)]
    for start in range(len(LEVELS)):
        assert texts(*reversed(pairs[start:])) == texts(*pairs[start:]) == [(None, f"<= {start + 1} us", LEVELS[start], True)]


def test_levels_stack_for_each_measurement_quantity_and_statistic():
    module = ("module marker", {"time": ["<= 30 us", "p99 <= 50 us"], "bandwidth": ">= 80 %"})
    function = ("function marker", {"time": "<= 12 us"})
    assert texts(module, function) == [
        (None, "<= 12 us", "function marker", True),
        (None, ">= 80 %", "module marker", True),
        (None, "p99 <= 50 us", "module marker", True),
    ]


def test_a_limit_of_a_named_measurement_stands_beside_that_of_main():
    module, other = ("module marker", {"time": "<= 30 us"}), ("function marker", {"time": "<= 12 us", "of": "nwor"})
    assert marks(module, other).budgets[0].of == "nwor"
    assert len(marks(module, other).budgets) == 2
    main = ("function marker", {"time": "<= 12 us", "of": "main"})
    assert texts(module, main) == [("main", "<= 12 us", "function marker", True)]


def test_a_whole_list_of_the_nearer_level_replaces_the_whole_list_of_the_farther():
    assert texts(("class marker", {"time": ["<= 30 us", ">= 3 us"]}), ("function marker", {"time": "<= 12 us"})) == [
        (None, "<= 12 us", "function marker", True)
    ]
    assert len(texts(("class marker", {"time": "<= 30 us"}), ("function marker", {"time": ["<= 12 us", ">= 3 us"]}))) == 2


def test_a_limit_for_other_devices_never_hides_a_farther_one_that_applies():
    near, far = ("function marker", {"time": {"H100": "<= 12 us"}}), ("module marker", {"time": "<= 30 us"})
    assert texts(near, far) == [(None, "<= 30 us", "module marker", True)]
    assert texts(near, far, device="NVIDIA H100") == [(None, "<= 12 us", "function marker", True)]
    other = ("module marker", {"time": {"A100": "<= 30 us"}})
    assert texts(near, other) == [(None, "<= 12 us", "function marker", False)]
    budgets = read_limits({"time": "<= 1 us"}, "here", "a"), read_limits({"time": "<= 2 us"}, "here", "b")
    assert [one.limit.text for one in stack(budgets)] == ["<= 1 us"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"time": "<= 12 us"}, {"time": "<= 13 us"}),
        ({"time": "<= 12 us"}, {"time": {"H100": "<= 13 us"}}),
        ({"time": "<= 12 us"}, {"time": "p50 <= 13 us", "bandwidth": ">= 80 %"}),
        ({"time": "<= 12 us"}, {"time": "<= 13 us", "of": "main"}),
        ({"time": "<= 12 us", "of": "nwor"}, {"time": "<= 13 us", "of": "nwor"}),
    ],
)
def test_two_markers_of_one_level_for_one_thing_are_refused(one, other):
    with pytest.raises(BadBudget, match=r"^here: time p50 has two limits from two function markers; put both into one list$"):
        marks(("function marker", one), ("function marker", other))
    assert len(marks(("function marker", one), ("class marker", other)).budgets) >= 1


def test_two_markers_of_one_level_for_different_things_stand_together():
    together = marks(("function marker", {"time": "<= 12 us"}), ("function marker", {"time": "p99 <= 20 us"}), ("function marker", {"bandwidth": ">= 80 %"}))
    assert len(together.budgets) == 3


@pytest.mark.parametrize(
    ("keywords", "story"),
    [
        ({"tme": "<= 12 us"}, "here: gpuperf marker has no keyword 'tme'; nearest 'time'"),
        ({"Bandwith": ">= 3 %"}, "here: gpuperf marker has no keyword 'Bandwith'; nearest 'bandwidth'"),
        ({"gpus": True}, "here: gpuperf marker has no keyword 'gpus'; nearest 'gpu'"),
        ({"zzz": 1}, "here: gpuperf marker has no keyword 'zzz'; valid: time, bandwidth, tflops, host_time, wall_time, first_call, launches, kernels, .*peak_memory, .*achieved_occupancy, registers, .*occupancy, of, gpu"),
        ({"gpu": "yes"}, "here: gpu='yes': write True or False"),
        ({"of": 3, "time": "<= 1 us"}, "here: of=3: name one measurement, as of='baseline'"),
        ({"time": "<= 12 uz"}, "here: time='<= 12 uz': unknown unit 'uz'; nearest 'us'"),
        ({"time": {"A100": "<= 12 uz"}}, "here: time='<= 12 uz': unknown unit 'uz'"),
    ],
)
def test_a_marker_that_cannot_be_judged_is_refused_before_anything_runs(keywords, story):
    for device in (H200, None):
        with pytest.raises(BadBudget, match=story):
            marks(("function marker", keywords), device=device)


def test_a_marker_takes_no_limit_without_a_name():
    with pytest.raises(BadBudget, match=r"^here: gpuperf\('<= 12 us'\): write limits by name, as gpuperf\(time='<= 12 us'\)$"):
        read_marks([("function marker", pytest.mark.gpuperf("<= 12 us").mark)], H200, "here")


def test_a_farther_gpu_flag_holds_until_a_nearer_one_says_otherwise():
    assert marks().gpu is False
    assert marks(("module marker", {"gpu": True})).gpu is True
    assert marks(("module marker", {"gpu": True}), ("function marker", {"time": "<= 1 us"})).gpu is True
    assert marks(("module marker", {"gpu": True}), ("function marker", {"gpu": False})).gpu is False

"""The lists METRICS and REASONS: every row is whole, named once and used; and the errors that carry reasons."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest

import pytest_gpuperf
from pytest_gpuperf import errors
from pytest_gpuperf.metrics import METRICS, STATISTICS, TAIL_SAMPLES, UNITS, metric, metric_names, nearest
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, NOT_APPLICABLE, PASS, REASONS, UNMEASURED, VERDICTS, Reason, worst
from pytest_gpuperf.stats import percentile_interval

PACKAGE = Path(pytest_gpuperf.__file__).parent
ROOT = PACKAGE.parent
SOURCES = ("device", "cupti", "graph", "host", "ncu", "compiler", "nvml", "simulator", "torch")


#: Reason, and what carries its code and detail to where there are Reasons.
CALLED = ("Reason", "Unreadable", "Missing", "Gone")


def texts_in(node):
    return {inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant) and isinstance(inner.value, str)}


def reasons_in(source):
    """Return what may be codes in a module: the texts inside calls of Reason and of what stands for one, and what a text has after a verdict, as "UNMEASURED not-run"."""
    tree = ast.parse(source)
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in CALLED
    ]
    named = re.findall(rf"(?:{'|'.join(VERDICTS)}) ([a-z-]+)", "\n".join(texts_in(tree)))
    return set().union(named, *map(texts_in, calls))


def test_every_reason_is_given_somewhere_in_the_package():
    given = set().union(*(reasons_in(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py") if path.name != "reasons.py"))
    assert {cause.code for cause in REASONS} - given == set()


def test_the_search_for_reasons_finds_them_also_where_one_of_two_is_chosen():
    assert reasons_in('x = Reason("a" if y else "b", f"{z} d")\nlog("c")') >= {"a", "b"}
    assert reasons_in('x = Reason("a")\nlog("c, UNMEASURED not-run (3)")') == {"a", "not-run"}


@pytest.mark.parametrize("cause", REASONS, ids=lambda cause: cause.code)
def test_every_reason_has_a_sentence_and_a_next_step(cause):
    assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", cause.code)
    assert cause.verdict in {INCONCLUSIVE, UNMEASURED, NOT_APPLICABLE} or cause.code == "hang"
    for text in (cause.sentence, cause.next_step):
        assert text
        assert not text.endswith((".", "!"))
        assert "\n" not in text
        assert text[0].islower()
    assert str(Reason(cause.code)) == f"{cause.verdict} {cause.code}: {cause.sentence} ({cause.next_step})"
    assert str(Reason(cause.code, "as it happened")) == f"{cause.verdict} {cause.code}: as it happened ({cause.next_step})"


def test_every_reason_is_there_once():
    for name in ("code", "sentence"):
        texts = [getattr(cause, name) for cause in REASONS]
        assert len(set(texts)) == len(texts)


def test_a_reason_is_never_made_up():
    with pytest.raises(ValueError, match=r"^unknown reason 'nogpu'; nearest 'no-gpu'$"):
        Reason("nogpu")
    with pytest.raises(ValueError, match=r"^unknown reason 'zzzz'$"):
        Reason("zzzz")


def test_the_worst_verdict_is_the_first_of_the_list():
    assert VERDICTS == (FAIL, INCONCLUSIVE, UNMEASURED, NOT_APPLICABLE, PASS)
    for one, other in itertools.combinations(VERDICTS, 2):
        assert worst([one, other]) == worst([other, one]) == worst([other, one, PASS]) == one
    assert worst([]) == PASS


def test_errors_that_decide_nothing_carry_reason_and_subject():
    reason = Reason("no-gpu")
    for error, text in ((errors.Unmeasured(reason, "time < 1 us"), f"time < 1 us: {reason}"), (errors.Inconclusive(reason), str(reason))):
        assert (str(error), error.reason) == (text, reason)
        assert isinstance(error, errors.GpuPerfError)
        assert not isinstance(error, AssertionError)
    assert issubclass(errors.BudgetExceeded, AssertionError)
    assert issubclass(errors.NotIdentical, AssertionError)


def test_every_error_is_public_and_says_what_it_is():
    for name, error in vars(errors).items():
        if isinstance(error, type) and issubclass(error, Exception) and not name.startswith("_"):
            assert getattr(pytest_gpuperf, name) is error
            assert error.__doc__


@pytest.mark.parametrize("row", METRICS, ids=lambda row: row.name)
def test_every_quantity_is_whole(row):
    assert row.name.isidentifier()
    assert metric(row.name) is row
    assert row.better in {"less", "more"}
    assert row.source in SOURCES
    assert row.exact or row.unit in UNITS
    assert row.statistics[0] == "p50"
    assert set(row.statistics) <= set(STATISTICS)
    assert set(row.relative) <= {"%", "x roof"}
    assert row.meaning
    assert not row.meaning.endswith(".")


def test_every_quantity_is_there_once_and_in_the_order_of_the_list():
    assert metric_names() == tuple(row.name for row in METRICS)
    assert len(set(metric_names())) == len(METRICS)
    assert metric("tme") is None


def test_every_quantity_is_a_value_of_an_unmeasured_measurement():
    from pytest_gpuperf.measurement import Measurement

    one = Measurement.unmeasured("main", Reason("no-gpu"), None, None, None)
    # Hardware counters and facts of machine code are no values: a record holds those that were asked for, and no others.
    assert set(one.values) == {row.name for row in METRICS if row.source not in {"ncu", "compiler"}}
    for row in METRICS:
        assert one[row.name].unit == row.unit
        for statistic in row.statistics:
            with pytest.raises(errors.Unmeasured, match="no-gpu"):
                _ = one[f"{row.name}.{statistic}"] < 1


@pytest.mark.parametrize(("statistic", "needed"), TAIL_SAMPLES.items())
def test_a_tail_needs_the_samples_that_its_interval_needs(statistic, needed):
    fraction = int(statistic[1:]) / 100
    assert percentile_interval([1.0] * needed, fraction, 0.0) is not None
    assert percentile_interval([1.0] * (needed - 1), fraction, 0.0) is None


def test_every_spelling_of_a_unit_has_a_size():
    for unit, spellings in UNITS.items():
        assert spellings[unit] == 1.0
        assert all(scale > 0 for scale in spellings.values())
    assert UNITS["s"]["us"] == UNITS["s"]["µs"] == UNITS["s"]["μs"]


@pytest.mark.parametrize(
    ("name", "names", "expected"),
    [("tiem", ("time", "bandwidth"), "; nearest 'time'"), ("TIME", ("time",), "; nearest 'time'"), ("tb/s", ("B/s", "TB/s"), "; nearest 'TB/s'"), ("zz", ("a", "b"), "; valid: a, b")],
)  # fmt: skip
def test_the_nearest_name_is_found_without_regard_to_case(name, names, expected):
    assert nearest(name, names) == expected

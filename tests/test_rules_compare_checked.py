"""A comparison checks what its versions leave, and what it was given."""

from __future__ import annotations

import itertools

import pytest
from rules_bench import STILL, US, bench, device
from rules_compared import compared, pair

from pytest_gpuperf.errors import BadBudget, NotIdentical


def adds(fake, array, amount, duration=20 * US, **keywords):
    def effect():
        array.numpy()[:] += amount

    return fake.kernel(duration, reads=[array], writes=[array], effect=effect, **keywords)


def test_every_call_starts_from_the_same_bits_and_one_call_is_left():
    fake = device(**STILL)
    total = fake.array(64)
    total.numpy()[:] = 1.0
    c = compared(fake, {"one": adds(fake, total, 2.0), "two": adds(fake, total, 2.0), "three": adds(fake, total, 2.0)}, inout=[total])
    assert total.numpy().tolist() == [3.0] * 64
    assert {c[name].details["digest"] for name in c} == {c["one"].details["digest"]}
    assert c["one"].details["checked"] == "every sample"


def test_versions_that_leave_different_bits_are_named():
    fake = device(**STILL)
    total = fake.array(64)
    total.numpy()[:] = 1.0

    def wrong():
        total.numpy()[:] += 2.0
        total.numpy()[5] += 1.0

    with bench(fake) as gpuperf:
        with pytest.raises(NotIdentical, match=r"^versions 'good' and 'bad' leave different bits in inout\[0\]: bits differ: 1 of 64 elements, first at \[5\]"):
            gpuperf.compare({"good": adds(fake, total, 2.0), "also": adds(fake, total, 2.0), "bad": fake.kernel(20 * US, effect=wrong)}, inout=[total])
        assert [(check.name, check.verdict) for check in gpuperf._case.checks] == [("compare", "FAIL")]
        assert gpuperf._case.measurements["compare/bad"].time.number is not None, "what was measured is recorded all the same"
        c = gpuperf.compare({"good": adds(fake, total, 2.0), "bad": fake.kernel(20 * US, effect=wrong)}, inout=[total], varies=True, name="declared")
        assert c.speedup(of="bad", over="good").number is not None


def test_a_version_that_leaves_outputs_unwritten_is_named():
    fake = device(**STILL)
    out = fake.array(64)

    def whole():
        out.numpy()[:] = 1.0

    def part():
        out.numpy()[:60] = 1.0

    with pytest.raises(NotIdentical, match=r"^version 'part': not written: 4 of 64 elements of outputs\[0\] keep the poison, first at \[60\]"):
        compared(fake, {"whole": fake.kernel(20 * US, effect=whole), "part": fake.kernel(20 * US, effect=part)}, outputs=[out])


def test_a_version_whose_calls_differ_is_named():
    fake = device(**STILL)
    out, calls = fake.array(8), itertools.count()

    def effect():
        out.numpy()[:] = 1.0 if next(calls) < 40 else 2.0

    def right():
        out.numpy()[:] = 1.0

    with pytest.raises(NotIdentical, match=r"^version 'moody': changed between calls: outputs\[0\]"):
        compared(fake, {"right": fake.kernel(20 * US, effect=right), "moody": fake.kernel(20 * US, effect=effect)}, outputs=[out])


def test_returned_arrays_are_compared_too():
    fake = device(**STILL)
    mine, theirs = fake.array(8), fake.array(8)
    mine.numpy()[:] = theirs.numpy()[:] = 4.0
    versions = {"mine": fake.kernel(20 * US, effect=lambda: mine), "theirs": fake.kernel(20 * US, effect=lambda: theirs)}
    assert compared(fake, versions)["theirs"].result is theirs
    theirs.numpy()[3] = 5.0
    with pytest.raises(NotIdentical, match="'mine' and 'theirs' leave different bits in returned array 0: bits differ: 1 of 8"):
        compared(fake, versions)


def test_setup_runs_before_every_call_and_inputs_rotate_for_every_version_alike():
    fake = device(**STILL)
    seen, setups = {"a": [], "b": []}, []
    versions = {name: fake.kernel(20 * US, effect=lambda number, name=name: seen[name].append(number)) for name in seen}
    compared(fake, versions, inputs=[[1], [2], [3]], setup=lambda: setups.append(1))
    assert len(setups) == len(seen["a"]) + len(seen["b"])
    counts = [{number: seen[name].count(number) for number in (1, 2, 3)} for name in seen]
    assert counts[0] == counts[1]
    assert max(counts[0].values()) - min(counts[0].values()) <= 20


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("2.5", "require: speedup='2.5': not a limit; write '[p50|p95|p99] OP NUMBER [unit | % | x roof]', as '>= 2.5 x'"),
        (2.5, "require: speedup=2.5: a limit is a string such as '>= 2.5 x'"),
        (">= 2.5 us", "require: speedup='>= 2.5 us': unknown unit 'us'; valid: x"),
        (">= 250 %", "require: speedup='>= 250 %': speedup cannot be held against '%': it has no roof"),
        ("p99 >= 2", "require: speedup='p99 >= 2': speedup has no statistic 'p99'; valid: p50"),
        ("== 2", "require: speedup='== 2': speedup has an interval, so == never decides; use <= or >="),
        ({}, "require: speedup={} holds no limit"),
        ([], "require: speedup=[] holds no limit"),
        ({1: ">= 2"}, "require: speedup: 1 is no device glob; write as 'H200' or '*'"),
    ],
)
def test_a_limit_that_cannot_be_read(limit, said):
    fake = device(**STILL)
    c = compared(fake, pair(fake), limit=0.01)
    with pytest.raises(BadBudget) as error:
        c.require(speedup=limit, of="fast", over="slow")
    assert str(error.value) == said


def test_unknown_versions_have_their_nearest_name():
    fake = device(**STILL)
    c = compared(fake, pair(fake), limit=0.01)
    for call in (lambda: c.speedup(of="fats", over="slow"), lambda: c.speedup(of="slow", over="fats")):
        with pytest.raises(BadBudget, match=r"^speedup: comparison 'compare' has no version 'fats'; nearest 'fast'$"):
            call()
    with pytest.raises(BadBudget, match=r"^require: comparison 'compare' has no version 'fats'; nearest 'fast'$"):
        c.require(speedup=">= 1", of="fats", over="slow")
    with pytest.raises(BadBudget, match="of= and over= are both 'fast'"):
        c.speedup(of="fast", over="fast")
    with pytest.raises(KeyError, match=r"has no version 'fats'; nearest 'fast'"):
        c["fats"]


@pytest.mark.parametrize(
    ("versions", "keywords", "said"),
    [
        ({"one": print}, {}, "compare: needs at least two versions, as {'loop': f, 'kernel': g}; got 'one'"),
        ({}, {}, "compare: needs at least two versions, as {'loop': f, 'kernel': g}; got none"),
        ([print, print], {}, "compare(list): name the versions, as compare({'loop': f, 'kernel': g}, ...)"),
        ({"one": print, "two": 3}, {}, "compare: version 'two' is int, which cannot be called; pass the function itself"),
        ({"one": print, "": print}, {}, "compare: '' is no name of a version; a name is a text such as 'kernel'"),
        ({"one": lambda: 0, "two": lambda: 0}, {"output": []}, "compare: no option 'output', and the body takes no such argument; nearest 'outputs'"),
        ({"one": lambda duty: 0, "two": lambda: 0}, {"duty": "sustained"}, "compare: no option 'duty', which is measure's, and version 'two' takes no such argument"),
        ({"one": print, "two": print}, {"cache": "clod"}, "cache='clod': no such cache state; nearest 'cold'"),
        ({"one": print, "two": print}, {"inputs": []}, "inputs=[]: needs at least one argument set"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(versions, keywords, said):
    fake = device(**STILL)
    with pytest.raises((TypeError, ValueError)) as error:
        compared(fake, versions, **keywords)
    assert str(error.value) == said


def test_a_name_is_used_once():
    fake = device(**STILL)
    with bench(fake, 0.01) as gpuperf:
        gpuperf.compare(pair(fake))
        with pytest.raises(ValueError, match=r"^compare: this case has compared 'compare' already; give the second one a name=$"):
            gpuperf.compare(pair(fake))
        gpuperf.compare(pair(fake), name="again")
        assert list(gpuperf._case.measurements) == ["compare/fast", "compare/slow", "again/fast", "again/slow"]

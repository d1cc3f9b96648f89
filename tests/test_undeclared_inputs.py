"""Undeclared arrays among the arguments of a body: which changes are told, and which arrays are left alone."""

from __future__ import annotations

import pytest
from rules_bench import STILL, US, bench, device, measured

from pytest_gpuperf.errors import Inconclusive
from pytest_gpuperf.timing import inputs


@pytest.fixture
def fake():
    return device(**STILL)


def add(fake):
    x = fake.array(8)
    x.numpy()[:] = 0
    return x, fake.kernel(5 * US, effect=lambda x: x.numpy().__iadd__(1))


def test_a_limit_on_it_cannot_be_judged(fake):
    x, kernel = add(fake)
    m = measured(fake, kernel, x)
    for value in (m.time, m.wall_time):
        with pytest.raises(Inconclusive, match=r"changes-inputs: argument 0 \(float32, 8\) has other bits"):
            assert value < 1
    assert m.host_time < 1


@pytest.mark.parametrize("keywords", [{"inout": True}, {"varies": True}, {"setup": lambda: None}], ids=lambda one: next(iter(one)))
def test_declared_varying_or_set_up_ones_are_not_watched(fake, keywords):
    x, kernel = add(fake)
    m = measured(fake, kernel, x, **({"inout": [x]} if keywords.get("inout") else keywords))
    assert m.time.reason is None
    assert not m.details["notes"]


def test_inputs_are_named_by_their_set(fake):
    (x, kernel), (y, _) = add(fake), add(fake)
    m = measured(fake, lambda one: kernel(one) if one is y else None, inputs=[(x,), (y,)])
    assert m.time.reason.detail.startswith("inputs[1][0] (float32, 8) has other bits")


def test_arguments_by_keyword_and_in_lists_are_seen(fake):
    x, kernel = add(fake)
    assert "argument x= (float32, 8)" in measured(fake, lambda x: kernel(x[0]), x=[x]).time.reason.detail


def test_large_strided_ones_are_left_alone_and_named(fake, monkeypatch):
    monkeypatch.setattr(inputs, "_STRIDED", 16)
    x, kernel = fake.array((8, 8)), fake.kernel(5 * US, effect=lambda x: x.numpy().__iadd__(1))
    x.numpy()[:] = 0
    m = measured(fake, kernel, x[:, :4])
    assert m.time.reason is None
    assert m.details["notes"] == ["argument 0 (float32, 8x4) not looked at, whether calls change it: strided and large"]
    assert measured(fake, kernel, x).time.reason.code == "changes-inputs"


def test_many_are_counted(fake):
    made = [add(fake) for _ in range(5)]
    m = measured(fake, lambda *some: [kernel(x) for x, (_, kernel) in zip(some, made, strict=True)], *(x for x, _ in made))
    assert "argument 2 (float32, 8) and 2 more have other bits" in m.time.reason.detail


def test_the_digests_are_given_back(fake):
    x, kernel = add(fake)
    with bench(fake) as gpuperf:
        gpuperf.measure(kernel, x, name="first")
        before = fake.memory()
        gpuperf.measure(kernel, x, name="second")
        assert fake.memory() == before

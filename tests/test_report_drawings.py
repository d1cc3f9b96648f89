"""The report's drawings and numbers: bins, limits, odd samples, four digits."""

from __future__ import annotations

import dataclasses
import random
import re
from typing import Any

import pytest
from run_files import budget, case, samples

from pytest_gpuperf.format import digits, format_quantity
from pytest_gpuperf.report import views
from pytest_gpuperf.report.samples import bins_of, rounds_of
from pytest_gpuperf.report.svg import Mark, Picture, distribution, sparkline


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({"quantity": "time", "unit": "s", "limit": 9e-6}, 9e-6),
        ({"quantity": "time", "unit": "x roof", "limit": 2.0, "value": 4.0}, 5e-6),
        ({"quantity": "bandwidth", "unit": "%", "limit": 80.0, "value": 40.0, "op": ">="}, 5e-6),
        ({"quantity": "bandwidth", "unit": "B/s", "limit": 4e12, "value": 2e12, "op": ">="}, 5e-6),
        ({"quantity": "launches", "unit": "", "limit": 1, "value": 1, "op": "=="}, None),
    ],
)
def test_a_limit_is_drawn_where_the_time_would_just_meet_it(limit: dict[str, Any], expected: float | None) -> None:
    row = case(1, "PASS", random.Random(1))
    row["measurements"][0]["values"]["time"]["number"] = 1e-5
    row["budgets"] = [budget("text", "PASS", **limit)]
    found = [mark.at for mark in views.marks(row, row["measurements"][0])]
    assert found == ([pytest.approx(expected)] if expected else [])


def test_bins_follow_the_clock_grid_and_lose_no_sample() -> None:
    rng = random.Random(5)
    values = [value for row in rounds_of(samples(rng, 5e-6)) for value in row]
    bins = bins_of(values, 3.2e-8)
    assert sum(bins.counts) + bins.beyond == len(values)
    assert bins.width / 3.2e-8 == pytest.approx(round(bins.width / 3.2e-8))


@pytest.mark.parametrize("rounds", [[[1e-6]], [[0.0, 0.0]], [[-2e-7, -1e-7, 0.0]], [[1e-6] * 50 + [1.0]], [[5.0, 6.0]] * 12])
def test_drawings_survive_odd_samples(rounds: list[list[float]]) -> None:
    first = rounds[0][0]
    drawn = distribution(Picture(rounds, 3.2e-8, first, first, first, (Mark(1e-5, "<= 10 us"), Mark(100.0, "far")))) + sparkline(rounds, Mark(1e-6, ""))
    assert "nan" not in drawn
    assert "inf" not in drawn
    places = [float(x) for x in re.findall(r' [xc]x?="(-?[\d.]+)"', drawn)]
    assert all(0 <= x <= 460 for x in places)


def test_samples_below_zero_are_drawn_apart() -> None:
    drawn = distribution(Picture([[-2e-7, -1e-7, -0.5e-7]], 1e-9, -1e-7, -2e-7, -0.5e-7))
    places = [float(x) for x in re.findall(r"M([\d.]+) 128V", drawn)]
    assert max(places) - min(places) > 100


def test_four_digits_hold_over_the_whole_range() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        value = rng.uniform(1, 10) * 10 ** rng.randint(-9, 2)
        number, unit = format_quantity(value, "s").split(" ")
        scale = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}[unit]
        assert float(number.replace(",", "")) * scale == pytest.approx(value, rel=5.1e-4)
        assert unit == "s" or float(number) < 1000
        assert len(re.sub(r"\D", "", number).lstrip("0")) == 4
    assert digits(float("nan")) == "nan"


def test_a_reference_far_away_is_told_where_it_cannot_be_drawn():
    near = Picture([[5.5e-5, 5.6e-5]] * 5, 3.2e-8, 5.5e-5, 5.4e-5, 5.6e-5, (), [5.4e-5] * 20)
    far = dataclasses.replace(near, ghost=[3.55e-5] * 20, marks=(Mark(3.6e-5, "<= 36 us"),))
    assert "reference" not in distribution(near)
    drawn = distribution(far)
    assert "reference 35.50 us \u25c2" in drawn
    assert drawn.index("ghost-label") > drawn.index("limit-label")
    above = distribution(dataclasses.replace(near, ghost=[9e-5] * 20))
    assert "reference 90.00 us \u25b8" in above


def test_names_of_limits_are_drawn_over_the_lines_of_all_limits():
    picture = Picture([[5.5e-5, 5.6e-5]] * 5, 3.2e-8, 5.5e-5, 5.4e-5, 5.6e-5, (Mark(5.3e-5, "<= 53 us"), Mark(5.35e-5, "<= 3 x roof")))
    drawn = distribution(picture)
    assert drawn.count('<path class="limit"') == drawn.count('class="limit-label"') == 2
    assert drawn.rindex('<path class="limit"') < drawn.index('class="limit-label"')
    far = distribution(dataclasses.replace(picture, marks=(Mark(9e-5, "<= 90 us"),)))
    assert '<path class="limit"' not in far
    assert "&lt;= 90 us \u25b8" in far

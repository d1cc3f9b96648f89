"""The clock trace: every round is there, discarded ones are marked, titles tell all that is known, and nothing lies outside."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from run_files import assemble, case

from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.report.evidence import evidence_lines
from pytest_gpuperf.report.html import render
from pytest_gpuperf.report.svg_clock import clock_trace


def rounds(count: int = 10, **changes: Any) -> list[dict[str, Any]]:
    """Return rounds of a healthy device; `changes` are of the fourth."""
    made = [
        {"effective_clock": 1995.0 + n % 2, "sm_clock": 1980, "memory_clock": 3201, "utilization": 90, "temperature": 40 + n, "power": 250.5, "throttle": 0, "processes": [], "violations": {"power": 0.0}, "discarded": None}
        for n in range(count)
    ]
    made[3] |= changes
    return made


def heights(drawn: str) -> list[float]:
    return [float(y) for y in re.findall(r'cy="([\d.]+)"', drawn)]


def test_a_slower_round_lies_lower_and_its_title_says_why() -> None:
    drawn = clock_trace(rounds(effective_clock=1500.0, throttle=4, violations={"power": 0.0331}), 1980)
    places = heights(drawn)
    assert len(places) == 10
    assert places[3] > max(places[:3] + places[4:]) + 20
    assert "round 4: 1500 MHz by stamps, NVML 1980 MHz, 43 C, 250.5 W, limits: power cap, power 33.1 ms" in drawn
    assert 'aria-label="SM clock of 10 rounds: 1500 to 1996 MHz by stamps"' in drawn


def test_a_discarded_round_is_a_cross_and_no_part_of_the_line() -> None:
    drawn = clock_trace(rounds(effective_clock=1500.0, discarded="power-limited"), 1980)
    assert drawn.count('class="out"') == 1
    assert drawn.count("<circle") == 9
    line = re.search(r'class="trace" d="([^"]+)"', drawn)
    assert line
    assert len(re.findall("[ML]", line[1])) == 9
    assert "discarded: power-limited" in drawn
    assert ", 1 discarded" in drawn


def test_small_steps_are_not_cliffs() -> None:
    places = heights(clock_trace(rounds(effective_clock=1965.0), 1980))
    assert max(places) - min(places) < 20


def test_a_clock_that_never_moves_takes_little_room() -> None:
    flat, moving = ([float(height) for height in re.findall(r'viewBox="0 0 460 (\d+)"', clock_trace(rounds(**changes), 1980))] for changes in ({}, {"effective_clock": 1900.0}))
    assert flat == [38]
    assert moving == [82]


def test_a_round_without_stamps_is_drawn_by_nvml_and_says_so() -> None:
    drawn = clock_trace(rounds(effective_clock=None), 1980)
    assert drawn.count("<circle") == 9
    assert drawn.count('class="nvml"') == 10
    assert "round 4: no stamps, NVML 1980 MHz" in drawn


@pytest.mark.parametrize("sm_clock", [None, 1980, 300])
@pytest.mark.parametrize("made", [rounds(1 + 3), [{"sm_clock": 1755}], [{"effective_clock": 345.6, "power": None}] * 60, rounds(5, effective_clock=210.0)])
def test_drawings_stay_inside_whatever_the_clocks(made: list[dict[str, Any]], sm_clock: int | None) -> None:
    drawn = clock_trace(made, sm_clock)
    assert "nan" not in drawn
    assert all(0 <= float(x) <= 460 for x in re.findall(r'[^a-z]c?x="(-?[\d.]+)"', drawn))
    assert all(0 <= float(y) <= 82 for y in re.findall(r'c?y="(-?[\d.]+)"', drawn))
    assert drawn.count("<title>") == len(made)


def test_titles_are_escaped() -> None:
    assert "<script" not in clock_trace(rounds(discarded="<script>"), 1980)


def test_words_of_the_page_keep_discarded_rounds_apart() -> None:
    lines = evidence_lines(rounds(effective_clock=1500.0, throttle=4, sm_clock=1600, discarded="power-limited"))
    assert "SM by stamps 1,995..1,996 MHz, SM by NVML 1980 MHz" in lines[0].replace("1,980", "1980")
    assert lines[-1] == "1 round discarded: power-limited"
    assert not any("changed" in line for line in lines)


def test_the_page_shows_trace_duty_and_state() -> None:
    run = assemble([case(1, "FAIL", random.Random(3))])
    row = run["cases"][0]["measurements"][0]
    row |= {"duty": "sustained", "state": "power-limited", "evidence": rounds(discarded="power-limited")}
    text = render(run)
    assert "crosses: discarded" in text
    for shown in ("sustained", "power-limited", "1 round discarded: power-limited", "round 10: 1996 MHz by stamps"):
        assert shown in text
    assert validate(run) == []

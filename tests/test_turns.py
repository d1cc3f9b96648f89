"""Turns of two processes: their order, what primers are for, and that a +5 % is found and nothing else, whatever the machine does meanwhile."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_gpuperf.base import process
from pytest_gpuperf.base.tree import BaseError, find
from pytest_gpuperf.reference.change import row_of, said
from pytest_gpuperf.timing.turns import Offer, alternate

US = 1e-6
OFFER = Offer(device=True, cost=250e-6, half=0.0, tick=32e-9)


class Machine:
    """A clock that drifts by 10 % and steps once, noise of 2 %, and a device whose first samples after the other side's are twice as long."""

    def __init__(self, seed, slowdown):
        self.draw, self.now_s, self.slowdown, self.log, self.last = random.Random(seed), 0.0, slowdown, [], -1

    def side(self, number):
        def turn(quantity, primers, count):
            self.log.append((number, quantity, primers, count))
            rows = []
            for place in range(primers + count):
                self.now_s += 250e-6
                cold = 2.0 if place < 2 and self.last != number else 1.0
                drift = 1.0 + 0.1 * self.now_s + (0.03 if self.now_s > 0.3 else 0.0)
                raw = 20 * US * (1 + (self.slowdown if number else 0.0)) * drift * cold * self.draw.gauss(1, 0.02)
                rows.append(round(raw / 32e-9) * 32e-9)
            self.last = number
            return rows[primers:]

        return turn

    def now(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


def taken(seed, slowdown, offers=(OFFER, OFFER), seconds=2.0):
    machine = Machine(seed, slowdown)
    return machine, alternate(machine.side(0), machine.side(1), offers, seconds, seed, machine)


@pytest.mark.parametrize(("slowdown", "verdict"), [(0.05, "SLOWER"), (0.0, "SAME")])
def test_five_percent_is_found_and_nothing_is_not_under_drift_steps_and_cold_starts(slowdown, verdict):
    for seed in range(6):
        _, turns = taken(seed, slowdown)
        ratio = turns.ratio
        assert ratio.low < 1 + slowdown < ratio.high or abs(ratio.centre - 1 - slowdown) < 0.003
        assert said(row_of("time"), ratio.centre, ratio.low, ratio.high)[0] == verdict


def test_every_block_has_as_much_of_both_and_every_turn_its_primers():
    machine, turns = taken(7, 0.0)
    assert {len(block) for side in (turns.base, turns.head) for block in side} == {40}
    assert all(primers >= 2 for _, _, primers, _ in machine.log)
    assert {machine.log[0][0] for machine, _ in (taken(seed, 0.0) for seed in range(6))} == {0, 1}, "neither side is always the first"
    block, places = [], {0: [], 1: []}
    for number, _, _, count in machine.log:
        block += [number] * count
        if len(block) == 80:
            for place, one in enumerate(block):
                places[one].append(place)
            assert sum(places[0]) == sum(places[1]), "a drift is common to both sides of a block"
            block.clear()
    assert len(turns.base) == len(turns.head) >= 10


def test_where_one_side_waits_for_the_device_both_are_taken_by_wall_time_and_time_is_up():
    machine, turns = taken(7, 0.05, (OFFER, Offer(device=False, cost=1e-3, half=0.0, tick=0.0, why="sync")), seconds=0.01)
    assert turns.quantity == "wall_time"
    assert {quantity for _, quantity, _, _ in machine.log} == {"wall_time"}
    assert len(turns.base) == 10, "the least number of blocks, though the time was over"


def test_the_base_looks_in_its_own_tree_where_this_session_looks_in_this_one(tmp_path, monkeypatch):
    top, root = tmp_path / "top", tmp_path / "base"
    for place in ("src", "lib/python/site-packages", "editable"):
        for tree in (top, root):
            (tree / place).mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(top / "src"), str(top / "gone"), str(top / "lib/python/site-packages"), str(tmp_path)])
    monkeypatch.setitem(sys.modules, "some_editable", SimpleNamespace(__file__=str(top / "editable" / "some_editable" / "__init__.py")))
    assert process._paths(top, root) == [str(root / "src"), str(root / "editable")]
    monkeypatch.setenv("PYTHONPATH", f"{top / 'src'}:{tmp_path / 'other'}")
    (tmp_path / "task.json").write_text("{}")
    assert process._environment(tmp_path / "task.json", top, root)["PYTHONPATH"] == f"{root / 'src'}:{tmp_path / 'other'}"


def test_a_directory_answers_to_the_root_of_the_tests_or_to_the_whole_tree(tmp_path):
    root, other = tmp_path / "project", tmp_path / "other"
    for place in (root, other):
        place.mkdir()
    source = find("../other", root, root)
    assert (source.top, source.folder, source.title) == (root, other, "directory other")
    with pytest.raises(BaseError, match="no directory"):
        find("../none", root, root)
    assert find(str(Path("..") / "other"), root, root).folder == other

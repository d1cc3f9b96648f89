"""Ways in which a finding could be lost between the tool's log and its case."""

from __future__ import annotations

import pytest
from fake_sanitizer import block

from pytest_gpuperf.counters.attribution import Left, settle

KEY = {"nodeid": "test_it.py::test_wrong", "file": "test_it.py", "function": "test_wrong", "index": 0}
BANNER = b"========= COMPUTE-SANITIZER\n"
FOUND = f"{block(function='helper')}\n".encode()
ENDED = {"event": "ended", "nodeid": KEY["nodeid"], "outcome": "passed", "error": None}


def outcome(log, *sizes):
    pieces = tuple({"event": event, "nodeid": KEY["nodeid"], "size": size} for event, size in zip(("begin", "end") * len(sizes), sizes, strict=False))
    return settle([KEY], Left(log, pieces, (ENDED,), "it ended with status 0"), "memcheck").outcomes[KEY["nodeid"]]


@pytest.mark.parametrize("first", [True, False])
def test_what_a_case_that_runs_twice_did_once_it_did(first):
    log, start = BANNER + FOUND, len(BANNER)
    middle = len(log) if first else start
    assert len(outcome(log, start, middle, middle, len(log)).findings) == 1


def test_a_log_that_is_shorter_than_it_was_says_nothing_clean():
    assert outcome(BANNER, len(BANNER), len(BANNER)).hole is None
    assert outcome(BANNER, len(BANNER), len(BANNER) + 500).hole.code == "no-compute-sanitizer"
    assert outcome(BANNER, 500, 500).hole.code == "no-compute-sanitizer"

"""The list of slow tests names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from slow_tests import SLOW, is_slow

TESTS = Path(__file__).resolve().parent


@pytest.mark.parametrize("pattern", SLOW)
def test_every_pattern_names_a_test(pattern):
    file, _, name = pattern.partition("::")
    text = (TESTS / file).read_text(encoding="utf-8")
    function = re.match(r"\w*", name)[0]
    assert not function or f"def {function}" in text


def test_what_is_not_listed_is_not_slow():
    assert is_slow("tests/test_timeout.py::test_xdist_replaces_the_worker_and_goes_on[waits for the device]")
    assert not is_slow("tests/test_timeout.py::test_a_case_that_never_ends_fails_and_its_records_are_kept[sleeps]")

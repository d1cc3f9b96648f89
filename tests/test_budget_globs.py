"""Which table of the file of budgets holds for a test: what its globs match, and how much they say."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_budget_file import NAME, TEST, file_of, holds

from pytest_gpuperf.budgets.collect import Filed, choose, device_matches, literal_characters, read_limits, read_marks
from pytest_gpuperf.budgets.file import read_rows
from pytest_gpuperf.budgets.globs import exactly, is_wild, pattern, specificity
from pytest_gpuperf.budgets.lookup import BudgetFile
from pytest_gpuperf.errors import BadBudget


class TestPrecedence:
    TWO = "[[budget]]\ntest = '*'\ndevice = 'H200'\ntime = '<= 1 us'\n[[budget]]\ntest = 'tests/*'\ntime = ['<= 2 us', 'p99 <= 3 us']\n"

    def test_the_glob_of_tests_that_says_more_wins_whatever_the_device_says(self):
        assert holds(self.TWO) == [("time", "<= 2 us", "gpuperf.toml:5"), ("time", "p99 <= 3 us", "gpuperf.toml:5")]
        assert holds(self.TWO, nodeid="x.py::test_b") == [("time", "<= 1 us", "gpuperf.toml:1")]

    def test_a_limit_for_other_devices_hides_none_that_says_less(self):
        assert holds(self.TWO.replace("'tests/*'", "'tests/*'\ndevice = 'L4'")) == [("time", "<= 1 us", "gpuperf.toml:1")]

    def test_every_marker_is_nearer(self):
        mark = pytest.mark.gpuperf(time="<= 9 us").mark
        assert holds(self.TWO, marks=[("package marker", mark)]) == [("time", "<= 9 us", "package marker"), ("time", "p99 <= 3 us", "gpuperf.toml:5")]

    def test_two_tables_that_say_equally_much_are_refused(self):
        file = file_of("[[budget]]\ntest = '*b[1-x]'\ndevice = 'H2*'\ntime = '<= 1 us'\n[[budget]]\ntest = '*_[1-x]'\ntime = '<= 2 us'\n[[budget]]\ntest = '*b*[1-x]'\ndevice = '*00'\ntime = '<= 1 us'\n")
        with pytest.raises(BadBudget, match=r"^gpuperf.toml:1 and gpuperf.toml:8 both limit time p50 of .*test_b\[1-x\] and say equally much: let one glob say more"):
            file.of(TEST, "NVIDIA H200")
        assert file.of(TEST, "NVIDIA H100").levels[0][0].limit.text == "<= 1 us", "only one of them is for this device"
        assert file.of(TEST, None).levels, "without a device nothing says which of two globs would hold"
        assert file.of("other", None) == Filed()

    def test_without_a_wildcard_says_more_than_with_one(self):
        text = "[[budget]]\ntest = 'tests/test_a.py*'\ntime = '<= 1 us'\n[[budget]]\ntest = 'tests/test_a.py'\ntime = '<= 2 us'\n"
        assert holds(text) == [("time", "<= 2 us", "gpuperf.toml:4")]


@pytest.mark.parametrize(
    ("glob", "matches"),
    [
        ("tests", True), ("tests/", True), ("test", False), ("tests/test_a.py", True), ("tests/test_a", False), ("tests/test_a.py::TestX", True),
        ("tests/test_a.py::TestX::test_b", True), ("tests/test_a.py::TestX::test_b[1", False), (TEST, True), ("*::test_b", True), ("*test_?[1-?]", True), ("*", True),
        ("*.py", True), ("TESTS", False), ("*[2-x]", False), (r"tests/\*", False),
    ],
)  # fmt: skip
def test_a_glob_names_a_node_and_all_below_it(glob, matches):
    assert bool(pattern(glob).match(TEST)) is matches


_IDS = st.text("ab*?\\[]:/-.", min_size=1, max_size=12).map(lambda text: f"t/{text}::test")


@given(_IDS, _IDS)
def test_an_exact_glob_matches_its_own_node_id_and_no_other(nodeid, other):
    glob = exactly(nodeid)
    assert not is_wild(glob)
    assert pattern(glob).match(nodeid)
    assert bool(pattern(glob).match(other)) is (other == nodeid or other.startswith((f"{nodeid}[", f"{nodeid}/", f"{nodeid}::")))
    rows = read_rows(f"[[budget]]\ntest = '{glob}'\ntime = '<= 1 us'\n", NAME)
    assert BudgetFile(Path(NAME), NAME, rows).rows_for(nodeid) == rows


_TESTS = st.sampled_from(["*", "t/*", "t/a.py", "t/a.py::*", "*a", "t/a.py::test_a", "*::test_?", "t/b.py"])
_DEVICES = st.sampled_from(["*", "H*", "H200", "H200*", "L4", "h[12]00"])
_NODE = "t/a.py::test_a"


@settings(max_examples=150)
@given(st.lists(st.tuples(_TESTS, _DEVICES), min_size=1, max_size=5, unique=True), st.sampled_from(["NVIDIA H200", "NVIDIA L4", "NVIDIA A100"]))
def test_the_winner_is_the_most_specific_table_that_applies(pairs, device):
    text = "".join(f"[[budget]]\ntest = '{test}'\ndevice = '{glob}'\ntime = '<= {number + 1} us'\n" for number, (test, glob) in enumerate(pairs))
    here = [
        ((sum(char not in "*?" for char in test), not set(test) & {"*", "?"}), literal_characters(glob), number)
        for number, (test, glob) in enumerate(pairs)
        if fnmatch.fnmatchcase(_NODE, test) or _NODE.startswith(f"{test}::")
        if device_matches(glob, device)
    ]
    # In each level of tests two that say equally much of the device are refused.
    best: dict = {}
    for says, glob, number in here:
        best.setdefault(says, []).append((glob, number))
    tied = any([glob for glob, _ in own].count(max(own)[0]) > 1 for own in best.values() if len(own) > 1)
    file = file_of(text)
    if tied:
        with pytest.raises(BadBudget, match="say equally much"):
            file.of(_NODE, device)
        return
    budgets = [one for one in read_marks((), device, _NODE, file=file.of(_NODE, device)).budgets if one.applies]
    expected = [f"<= {max(here)[2] + 1} us"] if here else []
    assert [one.limit.text for one in budgets] == expected


def test_a_table_by_name_costs_nothing_for_the_other_tests():
    rows = read_rows("".join(f"[[budget]]\ntest = 't.py::test_{number}'\ntime = '<= 1 us'\n" for number in range(300)), NAME)
    file = BudgetFile(Path(NAME), NAME, rows)
    assert [row.test for row in file.rows_for("t.py::test_7[x]")] == ["t.py::test_7"]
    assert file._wild == []


def test_a_limit_is_read_as_that_of_a_marker():
    (row,) = read_rows("[[budget]]\ntest = '*'\ntime = ['<= 12 us', 'p99 <= 20 us']\n", NAME)
    marker = choose(read_limits({"time": ["<= 12 us", "p99 <= 20 us"]}, "x", "x"), None, "x")
    assert [one.limit for one in row.budgets] == [one.limit for one in marker]
    assert specificity("t*") == (1, False)

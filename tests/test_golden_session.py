"""golden in a session: the option that writes, the diff on the terminal, workers, children, entries that nobody uses."""

from __future__ import annotations

import json

import pytest
from child_runs import run_child
from plugin_runs import run_pytest

from pytest_gpuperf.testing import Example

TEST = """
    import numpy as np

    @pytest.mark.parametrize("number", [1, 2])
    def test_it(gpuperf, number):
        gpuperf.golden(f"out-{number}", np.arange(4, dtype="f4") * number)
"""
UPDATE = "--gpuperf-update-golden"


def entries(path):
    return json.loads((path / "golden" / "test_it.json").read_text())


@pytest.mark.parametrize("off", [False, True], ids=["--gpuperf", "plain"])
def test_missing_then_written_with_its_diff_then_right_then_wrong(pytester, off):
    more = ("--gpuperf-off",) if off else ()
    run = run_pytest(pytester, TEST, *more)
    assert run.outcomes == {"failed": 2}
    assert "there is no golden/test_it.json: run with --gpuperf-update-golden to write it" in run.text
    run = run_pytest(pytester, TEST, UPDATE, *more)
    assert run.outcomes == {"passed": 2}
    assert "golden: golden/test_it.json was written; review it:" in run.text
    assert '+ "out-1": {"digest": ' in run.text
    before = entries(pytester.path)
    assert list(before) == ["out-1", "out-2"]
    run = run_pytest(pytester, TEST, *more)
    assert run.outcomes == {"passed": 2}
    assert "golden:" not in run.text
    changed = TEST.replace("* number)", "* (number + (number == 2)))")
    run = run_pytest(pytester, changed, *more)
    assert run.outcomes == {"failed": 1, "passed": 1}
    assert "out-2: bits differ: 3 of 4 elements, first at [1]: 0x40400000 != 0x40000000" in run.text
    assert entries(pytester.path) == before
    run = run_pytest(pytester, changed, UPDATE, *more)
    assert '- "out-2"' in run.text
    assert '+ "out-2"' in run.text
    assert '"out-1"' not in run.text


def test_the_check_is_in_the_record(pytester):
    run_pytest(pytester, TEST, UPDATE)
    run = run_pytest(pytester, TEST)
    (check,) = run.case("test_it[1]")["checks"]
    assert (check["kind"], check["name"], check["verdict"], check["detail"]) == ("golden", "out-1", "PASS", "4 elements of float32, as in golden/test_it.json")


def test_an_entry_that_no_test_uses_is_told_where_all_tests_of_the_file_ran(pytester):
    run_pytest(pytester, TEST, UPDATE)
    shorter = TEST.replace("[1, 2]", "[1]")
    run = run_pytest(pytester, shorter)
    assert "golden: golden/test_it.json: no test used 'out-2'; delete it, as --gpuperf-update-golden does not" in run.text
    for selection in (("-k", "1"), ("test_it.py::test_it[1]",)):
        assert "no test used" not in run_pytest(pytester, TEST, *selection).text
    failing = shorter + "\n    def test_fails(gpuperf):\n        assert False\n"
    assert "no test used" not in run_pytest(pytester, failing).text


def test_each_architecture_has_an_entry_and_none_of_them_is_unused(pytester):
    text = TEST.replace("* number)", "* number, per_arch=True)")
    run_pytest(pytester, text, UPDATE)
    assert list(entries(pytester.path)) == ["out-1 [sm_90]", "out-2 [sm_90]"]
    file = pytester.path / "golden" / "test_it.json"
    file.write_text(file.read_text().replace("out-1 [sm_90]", "out-1 [sm_80]"))
    run = run_pytest(pytester, text)
    assert run.outcomes == {"failed": 1, "passed": 1}
    assert "has no entry 'out-1 [sm_90]' (nearest 'out-" in run.text
    file.write_text(file.read_text().replace("out-1 [sm_80]", "out-1 [sm_90]").replace("{\n", '{\n  "out-1 [sm_80]": ' + json.dumps({"digest": "0", "dtype": "int8", "shape": [1]}) + ",\n", 1))
    run = run_pytest(pytester, text)
    assert run.outcomes == {"passed": 2}
    assert "no test used" not in run.text


@pytest.mark.parametrize("more", [(), ("--gpuperf",)])
def test_workers_lose_nothing(more):
    text = "import numpy as np, pytest\n@pytest.mark.parametrize('n', range(24))\ndef test_it(gpuperf, n):\n    gpuperf.golden(f'out-{n:02}', np.arange(4) * n)\n"
    example = Example({"test_it.py": text})
    result = example.run_pytest("-q", "-n", "2", UPDATE, *more)
    assert result.returncode == 0, result.stdout
    assert list(entries(example.path)) == [f"out-{n:02}" for n in range(24)]
    assert result.stdout.count('+ "out-') == 24
    assert result.stdout.count("was written") == 1
    example.write({"test_it.py": text.replace("24", "23")})
    result = example.run_pytest("-q", "-n", "2", *more)
    assert result.returncode == 0, result.stdout
    assert "no test used 'out-23'" in result.stdout


def test_a_child_writes_nothing(tmp_path):
    run = run_child(tmp_path, {"test_it.py": "import pytest\n" + TEST.replace("\n    ", "\n")}, UPDATE)
    assert set(run.outcomes.values()) == {("passed", None)}
    assert not (tmp_path / "golden").exists()


def test_outside_pytest_there_is_no_file_to_write():
    import numpy as np

    import pytest_gpuperf
    from pytest_gpuperf.testing import FakeDevice

    with pytest_gpuperf.session(FakeDevice()) as gpuperf, pytest.raises(pytest_gpuperf.GpuPerfError, match="outside pytest there is no test file"):
        gpuperf.golden("out", np.zeros(3))

"""docs/exit-codes.md: each status is tried."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from plugin_runs import run_pytest

from pytest_gpuperf.cli import main
from pytest_gpuperf.options import OPTIONS

DOCS = (Path(__file__).parent.parent / "docs" / "exit-codes.md").read_text(encoding="utf-8")
STATUSES = {int(status) for status in re.findall(r"^\| (\d+) \|", DOCS, re.MULTILINE)}
#: Tried elsewhere, in a process that is ended: test_timeout.py. Ctrl-C is tried in test_plugin_processes.py.
ELSEWHERE = {189}

GOOD = '@pytest.mark.gpuperf(time="<= 12 us")\ndef test_it(gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6))\n'
BAD = GOOD.replace("12 us", "4 us")
UNMEASURED = 'def test_no(gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6), budget={"tflops": ">= 1 TFLOP/s"})\n'
MISS = "[[known-miss]]\ntest = '*'\ntime = 'any'\nreason = 'x'\n"
DEAD = "[[budget]]\ntest = 'test_it.py::test_gone'\ntime = '<= 1 us'\n"
BREAKS = "import pytest_gpuperf.report.html as page\ndef broken(*_):\n    raise OSError(28, 'No space left on device')\n"

ROWS = (
    ("a budget that is kept", 0, GOOD, (), {}),
    ("nothing is decided", 0, UNMEASURED, (), {}),
    ("a limit for another device", 0, GOOD.replace('"<= 12 us"', '{"L4": "<= 1 us"}'), (), {}),
    ("a known miss", 0, BAD, (), {"gpuperf.toml": MISS}),
    ("a glob without a test", 0, GOOD, (), {"gpuperf.toml": DEAD}),
    ("a budget that is exceeded", 1, BAD, (), {}),
    ("wrong bits", 1, "def test_it(gpuperf):\n    gpuperf.identical([1.0], [2.0])\n", (), {}),
    ("strict and undecided", 1, UNMEASURED, ("--gpuperf-strict=unmeasured",), {}),
    ("strict and a glob without a test", 1, GOOD, ("--gpuperf-strict",), {"gpuperf.toml": DEAD}),
    ("strict and a known miss that is kept", 1, GOOD, ("--gpuperf-strict",), {"gpuperf.toml": MISS}),
    ("an expired budget", 1, GOOD, (), {"gpuperf.toml": "[[budget]]\ntest = '*'\nlaunches = '<= 9'\nuntil = 2020-01-01\n"}),
    ("pytest.exit", 2, "def test_it(gpuperf):\n    pytest.exit('enough')\n", (), {}),
    ("a marker that cannot be read", 2, GOOD.replace("time=", "tiem="), (), {}),
    ("an error inside", 3, GOOD, (), {"conftest.py": "import pytest\ndef pytest_collection_modifyitems():\n    raise RuntimeError('mine')\n"}),
    ("a wrong option", 4, GOOD, ("--gpuperf-limit=soon",), {}),
    ("a wrong file of budgets", 4, GOOD, (), {"gpuperf.toml": "[[budgte]]\n"}),
    ("no file of budgets", 4, GOOD, ("--gpuperf-budgets=none.toml",), {}),
    ("no test", 5, "", (), {}),
    ("all deselected", 5, GOOD, ("-k", "nothing"), {}),
    ("an unwritable page", 8, GOOD, ("--gpuperf-report=test_it.py/x.html",), {}),
    ("an unwritable file of budgets", 8, GOOD, ("--gpuperf-record", "--gpuperf-budgets=test_it.py/x.toml"), {}),
    ("a reference that is not there", 8, GOOD, ("--gpuperf-reference=none.json",), {}),
    ("trouble beside a failure", 8, BREAKS + BAD + "    page.write = broken\n", (), {}),
    ("trouble beside a stop", 2, BREAKS + "def test_it(gpuperf):\n    page.write = broken\n    pytest.exit('enough')\n", (), {}),
)


@pytest.fixture
def _page_as_it_was(monkeypatch):
    from pytest_gpuperf.report import html

    monkeypatch.setattr(html, "write", html.write)


@pytest.mark.usefixtures("_page_as_it_was")
@pytest.mark.parametrize(("status", "text", "args", "files"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_each_status(pytester, status, text, args, files):
    assert run_pytest(pytester, text, *args, files=files).status == status


def test_every_status_of_the_page_is_tried_and_no_other_one_is():
    assert {row[1] for row in ROWS} | ELSEWHERE == STATUSES
    assert "strict" in {option.field for option in OPTIONS}


def test_statuses_of_the_console_script(tmp_path, capsys):
    assert main(["show", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit) as error:
        main(["shwo"])
    assert error.value.code == 2

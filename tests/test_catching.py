"""Who catches the error of a failed check: pytest.raises expects it, and what catches everything does not make the case pass."""

from __future__ import annotations

import contextlib
import re

import pytest
from plugin_runs import run_pytest

from pytest_gpuperf.catching import swallower

_TEXT = """
import contextlib
import numpy as np
ONE, TWO = np.float32([1.0]), np.float32([2.0])

"""
_CHECK = "gpuperf.identical(ONE, TWO)"
_LIMIT = 'gpuperf.measure(fake.kernel(5e-6)).require(time="<= 1 us")'


def body(text: str) -> str:
    return _TEXT + "def helper(gpuperf):\n    try:\n        gpuperf.identical(ONE, TWO)\n    except Exception:\n        pass\n\ndef test_it(gpuperf, fake):\n" + text


SWALLOWED = {
    "suppress": "    with contextlib.suppress(Exception):\n        CHECK\n",
    "suppress by name": "    from contextlib import suppress\n    with suppress(AssertionError, KeyError):\n        CHECK\n",
    "suppress, as one of several": "    with contextlib.nullcontext(), contextlib.suppress(Exception):\n        CHECK\n",
    "except Exception": "    try:\n        CHECK\n    except Exception:\n        pass\n",
    "bare except": "    try:\n        CHECK\n    except:\n        pass\n",
    "except of several": "    try:\n        CHECK\n    except (KeyError, Exception):\n        print('went wrong')\n",
    "suppress around a loop": "    with contextlib.suppress(Exception):\n        for _ in range(3):\n            if True:\n                CHECK\n",
    "an inner try that catches other errors": "    try:\n        try:\n            CHECK\n        except KeyError:\n            pass\n    except Exception:\n        pass\n",
}
EXPECTED = {
    "pytest.raises": "    with pytest.raises(AssertionError):\n        CHECK\n",
    "raises within suppress": "    with contextlib.suppress(Exception):\n        with pytest.raises(AssertionError):\n            CHECK\n",
    "an error that is looked at": "    try:\n        CHECK\n    except Exception as error:\n        assert 'e' in str(error)\n",
    "an error by its name": "    try:\n        CHECK\n    except AssertionError:\n        pass\n    else:\n        pytest.fail('not seen')\n",
    "another suppress within": "    with pytest.raises(AssertionError), contextlib.suppress(KeyError):\n        CHECK\n",
    "unittest's": "    import unittest\n    with unittest.TestCase().assertRaises(AssertionError):\n        CHECK\n",
}


@pytest.mark.parametrize("check", [_CHECK, _LIMIT], ids=["identical", "require"])
@pytest.mark.parametrize("way", SWALLOWED)
def test_what_swallows_everything_is_told_and_the_case_fails(pytester, way, check):
    run = run_pytest(pytester, body(SWALLOWED[way].replace("CHECK", check)))
    assert run.outcomes == {"failed": 1}, run.text
    assert run.case("test_it")["verdict"] == "FAIL"
    line = next(one for one in run.text.splitlines() if "swallowed" in one)
    what = "suppress" if "suppress" in way else "except"
    assert re.match(rf"failed, and its error was swallowed by {what}.* \(test_it\.py:\d+\); what is to fail stands in pytest\.raises: ", line)
    assert ("bits differ" if check is _CHECK else "time: 5.") in line


@pytest.mark.parametrize(("ways", "way", "outcome"), [(SWALLOWED, "except Exception", "failed"), (EXPECTED, "pytest.raises", "passed")])
def test_a_plain_pytest_sees_it_too(pytester, ways, way, outcome):
    run = run_pytest(pytester, body(ways[way].replace("CHECK", _CHECK)), "--gpuperf-off")
    assert run.outcomes == {outcome: 1}, run.text
    assert ("its error was swallowed by except Exception (test_it.py:" in run.text) == (outcome == "failed")


@pytest.mark.parametrize("check", [_CHECK, _LIMIT], ids=["identical", "require"])
@pytest.mark.parametrize("way", EXPECTED)
def test_what_asked_for_the_error_passes(pytester, way, check):
    run = run_pytest(pytester, body(EXPECTED[way].replace("CHECK", check)))
    assert run.outcomes == {"passed": 1}, run.text
    assert run.case("test_it")["verdict"] == "PASS"


def test_a_helper_that_swallows_is_named_by_its_own_line(pytester):
    run = run_pytest(pytester, body("    helper(gpuperf)\n"))
    assert run.outcomes == {"failed": 1}
    lines = (run.path / "test_it.py").read_text().splitlines()
    assert f"except Exception (test_it.py:{lines.index('    except Exception:') + 1})" in run.text


def test_an_error_that_ends_the_test_after_all_is_its_own(pytester):
    run = run_pytest(pytester, body("    with contextlib.suppress(KeyError):\n        gpuperf.identical(ONE, TWO)\n"))
    assert run.outcomes == {"failed": 1}
    assert "swallowed" not in run.text
    assert "bits differ" in run.text


def test_code_without_its_source_tells_nothing():
    with contextlib.suppress(Exception):
        assert swallower().startswith("suppress (test_catching.py:")
        names = {"swallower": swallower}
        exec(compile("with open('/dev/null'):\n    found = swallower()", "<nowhere>", "exec"), names)
        assert names["found"].startswith("suppress (test_catching.py:")
    assert swallower() == ""

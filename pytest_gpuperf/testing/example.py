"""Example: files in a folder of their own, a real pytest run over them, and what came out."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.testing.spec import FakeSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONFIGURATIONS = {"pytest.ini", "pytest.toml", "pyproject.toml", "tox.ini", "setup.cfg"}
_PLUGIN = "pytest_gpuperf.plugin"
#: Settings of the session that runs this one, which the example's own must not inherit.
_FOREIGN = ("PYTEST_", "GPUPERF_", "COV_", "NUMBA_ENABLE_CUDASIM")


def fake_conftest(**knobs: Any) -> str:
    """Return the text of a conftest that gives a run a FakeDevice, and tests a fixture `fake`; `knobs` are those of FakeSpec.

    >>> print(fake_conftest(l2=4096).splitlines()[-10])
    FAKE = FakeDevice(FakeSpec(l2=4096))
    """
    FakeSpec(**knobs)
    arguments = ", ".join(f"{name}={value!r}" for name, value in knobs.items())
    return textwrap.dedent(f"""\
        import pytest

        from pytest_gpuperf.testing import FakeDevice, FakeSpec

        FAKE = FakeDevice(FakeSpec({arguments}))


        def pytest_gpuperf_backend(config):
            return FAKE


        @pytest.fixture
        def fake():
            return FAKE
        """)


#: A conftest with a FakeDevice as FakeSpec describes it by default.
FAKE_CONFTEST = fake_conftest()


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What a pytest run came to: exit status and texts, the run file if it wrote one, and the page's path if it wrote one."""

    returncode: int
    stdout: str
    stderr: str
    run: dict[str, Any] | None = None
    report: Path | None = None

    def outcomes(self) -> dict[str, int]:
        r"""Return the counts of pytest's last line, by its words.

        >>> Result(1, "..\n==== 1 failed, 2 passed, 1 unmeasured in 0.12s ====\n", "").outcomes()
        {'failed': 1, 'passed': 2, 'unmeasured': 1}
        """
        last = next((line for line in reversed(self.stdout.splitlines()) if " in " in line), "").strip("= ").partition(" in ")[0]
        pairs = [part.split(" ", 1) for part in last.split(", ") if part[:1].isdigit() and " " in part]
        return {word: int(count) for count, word in pairs if count.isdigit()}


class Example:
    r"""Write files to a folder of their own and run pytest over them, in a process of its own, with this interpreter.

    The folder, `path`, goes when the example does. A `conftest.py` of FAKE_CONFTEST gives the run a fake device.

    >>> example = Example({"test_one.py": "def test_one():\n    assert 1 + 1 == 2\n"})
    >>> result = example.run_pytest("-q", plugins=())
    >>> result.returncode, result.outcomes()
    (0, {'passed': 1})
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gpuperf-example-")
        self._finalizer = weakref.finalize(self, self._folder.cleanup)
        self.path = Path(self._folder.name).resolve()
        # without a configuration of its own the example would take that of a folder above
        self.write(dict(files) if _CONFIGURATIONS & set(files) else {"pytest.ini": "[pytest]\n"} | dict(files))

    def write(self, files: Mapping[str, str]) -> None:
        """Write or replace files, by their paths under the folder; common indentation goes."""
        for name, text in files.items():
            path = self.path / name
            if not path.resolve().is_relative_to(self.path):
                raise ValueError(f"{name!r} lies outside the example's folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")

    def run_pytest(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        plugins: Sequence[str] = (_PLUGIN,),
    ) -> Result:
        """Run pytest and return what came out; subprocess.TimeoutExpired after `timeout` seconds.

        `plugins` are loaded with -p; this project's own only where it is not installed, as it else loads by itself. `env` is added
        to this process's environment, less what would make this run part of the outer one.
        """
        wanted = [name for name in plugins if name != _PLUGIN or not _installed()]
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *[part for name in wanted for part in ("-p", name)], *args]
        done = subprocess.run(
            command, cwd=self.path, env=self._environment(env or {}), capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL
        )
        report = self.path / _value_of(args, "--gpuperf-report", "reports/latest.html")
        return Result(done.returncode, done.stdout, done.stderr, self._run_file(args), report if report.exists() else None)

    def _environment(self, added: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        roots = [str(Path(__file__).resolve().parents[2]), kept.get("PYTHONPATH", "")]
        kept["PYTHONPATH"] = os.pathsep.join(root for root in roots if root)
        kept["PYTHONDONTWRITEBYTECODE"] = "1"
        return kept | dict(added)

    def _run_file(self, args: Sequence[str]) -> dict[str, Any] | None:
        """Read the run file that was asked for, else the newest one of the folder."""
        named = _value_of(args, "--gpuperf-json", "")
        found = [self.path / named] if named else sorted((self.path / "reports" / "runs").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        if not found or not found[-1].exists():
            return None
        run: dict[str, Any] = json.loads(found[-1].read_text(encoding="utf-8"))
        return run


def _value_of(args: Sequence[str], option: str, default: str) -> str:
    """Return the value of an option on a command line.

    >>> _value_of(["-q", "--gpuperf-json=a.json"], "--gpuperf-json", ""), _value_of(["--gpuperf-json", "b"], "--gpuperf-json", "")
    ('a.json', 'b')
    """
    value = default
    for position, one in enumerate(args):
        if one.startswith(f"{option}="):
            value = one.partition("=")[2]
        elif one == option and position + 1 < len(args):
            value = args[position + 1]
    return value


def _installed() -> bool:
    """Say whether pytest would load the plugin by itself."""
    return any(one.value == _PLUGIN for one in importlib.metadata.entry_points(group="pytest11"))

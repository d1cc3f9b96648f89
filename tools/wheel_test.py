"""Build the wheel, install it alone into a second environment, and use it there, with no checkout on the path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import pick_constraints

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".wheel-venv"

# Where the package comes from, and that none of the optional packages is there to help it.
WHEREABOUTS = """
import importlib.util, pathlib, sys
import pytest_gpuperf
place = pathlib.Path(pytest_gpuperf.__file__)
assert place.is_relative_to(sys.prefix), f"pytest_gpuperf was imported from {place}, not from the wheel's environment"
for name in ("numba", "torch", "hypothesis", "kernels", "suites", "xdist"):
    assert importlib.util.find_spec(name) is None, f"{name} is importable: this environment proves nothing"
"""

FAKE = "from pytest_gpuperf.testing import FAKE_CONFTEST; print(FAKE_CONFTEST)"

TESTS = """
import pytest

@pytest.mark.gpuperf(time="<= 50 us")
def test_within(gpuperf, fake):
    gpuperf.measure(fake.kernel(20e-6))

@pytest.mark.gpuperf(time="<= 10 us")
def test_too_slow(gpuperf, fake):
    gpuperf.measure(fake.kernel(20e-6))
"""

WITHOUT_DEVICE = """
import pytest

@pytest.mark.gpuperf(time="<= 50 us", gpu=True)
def test_nothing_there(gpuperf):
    raise AssertionError("the body ran without a GPU")
"""


def run(*command: str | Path, cwd: Path, status: int = 0) -> str:
    """Run a command outside the checkout's path; return what it printed; SystemExit with all of it for another exit status."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "GPUPERF"))}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=kept, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != status:
        raise SystemExit(f"{' '.join(map(str, command))}\nended with {done.returncode}, not {status}:\n{done.stdout}")
    return done.stdout


def build(place: Path) -> Path:
    """Build the wheel into `place` and return its path."""
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, ROOT, cwd=place)
    return next(place.glob("*.whl"))


def check_contents(wheel: Path) -> None:
    """Check that the wheel holds the whole package, its data files too, and nothing beside it."""
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    if foreign := {top for top in tops if top != "pytest_gpuperf" and not top.endswith(".dist-info")}:
        raise SystemExit(f"{wheel.name} would install {', '.join(sorted(foreign))} beside pytest_gpuperf")
    package = ROOT / "pytest_gpuperf"
    files = {path.relative_to(ROOT).as_posix() for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    if lost := files - names:
        raise SystemExit(f"{wheel.name} lacks {', '.join(sorted(lost))}")


def install(wheel: Path) -> Path:
    """Install the wheel with its declared dependencies and nothing else; return that environment's folder of programs."""
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    venv.create(ENVIRONMENT, with_pip=True)
    programs = ENVIRONMENT / ("Scripts" if sys.platform == "win32" else "bin")
    constraints = ROOT / pick_constraints.pick(pick_constraints.driver_cuda_version())
    run(programs / "python", "-m", "pip", "install", "-qq", "--constraint", constraints, wheel, cwd=wheel.parent)
    return programs


def expect(text: str, *parts: str) -> None:
    """Check that each of `parts` stands in `text`."""
    for part in parts:
        if part not in text:
            raise SystemExit(f"{part!r} is missing in:\n{text}")


def use(programs: Path, folder: Path) -> None:
    """Use the installed plugin as a user would: with a device (a fake one), without `--gpuperf`, and with no device."""
    python = programs / "python"
    run(python, "-c", WHEREABOUTS, cwd=folder)
    expect(run(programs / "gpuperf", "--help", cwd=folder), "render", "show", "merge")
    fake = folder / "fake"
    bare = folder / "bare"
    for place, text in ((fake, TESTS), (bare, WITHOUT_DEVICE)):
        place.mkdir()
        (place / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        (place / "test_installed.py").write_text(text, encoding="utf-8")
    (fake / "conftest.py").write_text(run(python, "-c", FAKE, cwd=folder), encoding="utf-8")
    judged = run(python, "-m", "pytest", "--gpuperf", cwd=fake, status=1)
    expect(judged, "1 failed, 1 passed", "exceeds 10.00 us")
    page = fake / "reports" / "latest.html"
    if not page.is_file():
        raise SystemExit(f"no page at reports/latest.html after:\n{judged}")
    expect(page.read_text(encoding="utf-8"), "test_too_slow")
    expect(run(python, "-m", "pytest", cwd=fake), "2 passed")
    if pick_constraints.driver_cuda_version() is None:
        expect(run(python, "-m", "pytest", "--gpuperf", cwd=bare), "1 unmeasured", "no-gpu")


def main() -> None:
    """Build, inspect, install and use the wheel."""
    with tempfile.TemporaryDirectory(prefix="gpuperf-wheel-") as name:
        folder = Path(name)
        wheel = build(folder)
        check_contents(wheel)
        use(install(wheel), folder)
        print(f"{wheel.name}: {wheel.stat().st_size / 1024:.0f} KiB, installed and used outside the checkout")


if __name__ == "__main__":
    main()

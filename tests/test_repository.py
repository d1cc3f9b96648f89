"""What holds for every committed file, and for the files that describe the project to its tools."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = (ROOT / "constraints" / "cuda13.txt").read_text(encoding="utf-8")
MAX_LINES = 350

#: Extras whose packages have a proprietary licence.
PROPRIETARY = {"cupti": "cupti-python", "ncu": "ncu-report"}

# Written in parts, so that this file does not hold what it forbids.
HOSTS = re.compile("|".join(["pypi" + r"\.", "python" + "hosted", "npm" + r"js\.", "download" + r"\.pytorch", "deb" + r"\.debian", "index" + "-url"]))
FOLDERS = re.compile(r"(?<![\w.$}*-])/(?:" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me", "tm" + "p", "Us" + "ers"]) + r")/")
NOTES = re.compile("|".join([r"\.\./sha" + "red", "design" + r"\.md", "facts" + r"\.md", r"\b[Ii]ssue " + r"#?\d"]))
RULES = {"a registry's host": HOSTS, "a machine's folder": FOLDERS, "notes outside the repository": NOTES}

# (file, rule): why it may.
EXCEPTIONS: dict[tuple[str, str], str] = {("docs/ci.md", "a machine's folder"): "where the locks lie in every container"}


def committed() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout: what is committed cannot be listed")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def text_of(name: str) -> str | None:
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def breaches(name: str, text: str) -> list[str]:
    return [
        f"{name}:{number}: {rule}: {found.group()!r} in {line.strip()[:120]!r}"
        for number, line in enumerate(text.splitlines(), 1)
        for rule, pattern in RULES.items()
        if (name, rule) not in EXCEPTIONS and (found := pattern.search(line))
    ]


def test_no_committed_file_names_a_machine_or_a_registry():
    found = [line for name in committed() for line in breaches(name, text_of(name) or "")]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    ["see /ho" + "me/ann/kernels", "pip install --index" + "-url x", "https://py" + "pi.org", '"/wo' + 'rk/main"', "as facts" + ".md says", "(issue " + "2)"],
)
def test_a_breach_is_seen(line):
    assert breaches("a.py", line)


@pytest.mark.parametrize("line", ["build/tmp/x", "$HOME/tmp/", "work/reads", "an issue of its own", "reports/runs/"])
def test_innocent_lines(line):
    assert not breaches("a.py", line)


def test_python_files_hold_one_idea():
    long = {name: lines for name in committed() if name.endswith(".py") and (lines := len((text_of(name) or "").splitlines())) > MAX_LINES}
    assert not long, f"more than {MAX_LINES} lines: {long}"


def test_one_version():
    tree = ast.parse((ROOT / "pytest_gpuperf" / "__init__.py").read_text(encoding="utf-8"))
    assigned = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "__version__" for target in node.targets)
    ]
    assert assigned == [PROJECT["project"]["version"]]
    assert f"## [{PROJECT['project']['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_plugin_is_named_like_its_module():
    entry_points = PROJECT["project"]["entry-points"]["pytest11"]
    assert all(name == module for name, module in entry_points.items())
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["pytest_gpuperf"]
    assert (ROOT / "pytest_gpuperf" / "py.typed").is_file()


def test_ci_runs_what_a_contributor_types():
    commands = [line for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines() if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["exec make test"]
    assert "$ make test\n" in (ROOT / "README.md").read_text(encoding="utf-8")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = [line for line in PINS.splitlines() if line and not line.startswith("#")]
    loose = [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.+]+", line)]
    assert not loose, f"not an exact pin: {loose}"
    return {normal(name): version for name, version in (line.split("==") for line in lines)}


def test_each_dependency_is_pinned_exactly():
    extras = PROJECT["project"]["optional-dependencies"]
    declared = [*PROJECT["project"]["dependencies"], *(line for name, extra in extras.items() if name not in PROPRIETARY for line in extra)]
    names = {normal(re.match(r"[\w.-]+", line).group()) for line in declared} - {"pytest-gpuperf"}
    # Nothing here may install them: they are in no other extra and have no pin.
    for extra, package in PROPRIETARY.items():
        assert [normal(re.match(r"[\w.-]+", line).group()) for line in extras[extra]] == [package]
        assert package not in names | pins().keys()
        assert not any(package in line or f"[{extra}" in line or f",{extra}" in line for line in declared)
    assert not names - pins().keys(), f"no pin in constraints: {sorted(names - pins().keys())}"


def test_the_pins_fit_together():
    found = pins()
    assert found["nvidia-nvvm"] == found["nvidia-nvjitlink"]
    assert all(found[name].startswith("13.0.") for name in ("cuda-toolkit", "cuda-bindings", "nvidia-nvvm", "nvidia-cuda-nvrtc", "nvidia-cuda-runtime"))
    assert tuple(map(int, found["numpy"].split(".")[:2])) < (2, 5)

"""examples/ run on a fake device as their README says, and each failing one with the message of its docstring."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import sys
from collections import Counter
from pathlib import Path

import pytest

from pytest_gpuperf.options import OPTIONS
from pytest_gpuperf.testing import Example, FakeNcu

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
FILES = sorted(
    str(path.relative_to(FOLDER)) for path in [*FOLDER.glob("test_*.py"), *FOLDER.glob("failing/test_*.py"), FOLDER / "notebook_session.py"]
)
RIGHT = [name for name in FILES if name.startswith("test_")]
FAILING = [name for name in FILES if name.startswith("failing/")]
COMPILING = "failing/test_float64_literal.py"
NAME = "NVIDIA FAKE (no GPU: made-up figures)"
MADE_UP = "examples: no GPU here, so a FakeDevice stands in: kernels do their work in NumPy, and all times are made up"

#: What the cases of a file come to where not all of them are a plain PASS: pytest's outcome, the verdict, and the reasons.
ENDS = {
    "test_counters.py": {"passed UNMEASURED no-ncu": 1},
    "test_cupy.py": {"skipped UNMEASURED skipped": 1},
    "test_torch.py": {"skipped UNMEASURED skipped": 2},
    "test_triton.py": {"skipped UNMEASURED skipped": 1},
    "test_verdicts.py": {"passed INCONCLUSIVE straddles": 1, "passed UNMEASURED sync": 1, "passed PASS other-device": 1},
}
#: How many cases the others have, where it is not one; tests that do not use the fixture are none.
SEVERAL = {"test_curve.py": 4, "test_identical.py": 3, "test_known_miss.py": 2, "test_setup_inout.py": 3, "test_own_fake.py": 0}


def example() -> Example:
    """A copy of the folder, as somebody takes it elsewhere, without what was ever reported in it."""
    paths = [path for path in FOLDER.rglob("*") if path.is_file() and not {"reports", "__pycache__"} & set(path.relative_to(FOLDER).parts)]
    made = Example({str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8") for path in paths if path.suffix != ".npy"})
    for path in paths:
        target = made.path / path.relative_to(FOLDER)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return made


def alone(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine without GPU and ncu, whatever this one has."""
    return {"CUDA_VISIBLE_DEVICES": "", "PATH": str(tmp_path), "CUDA_HOME": "", "CUDA_PATH": ""}


def ends(run) -> dict[str, dict[str, int]]:
    found: dict[str, Counter] = {}
    for case in run["cases"]:
        reasons = sorted({one["code"] for one in case["reasons"]})
        found.setdefault(case["nodeid"].partition("::")[0], Counter())[" ".join([case["outcome"], case["verdict"], *reasons])] += 1
    return {name: dict(counts) for name, counts in found.items()}


def test_all_examples_end_as_they_should_and_say_that_the_device_is_a_fake(tmp_path):
    # 5 rounds are always taken: here nobody needs a narrow interval.
    copy = example()
    result = copy.run_pytest("--gpuperf", "--gpuperf-limit=0.05", env=alone(tmp_path))
    assert result.returncode == 0, result.stdout
    wanted = {name: ENDS.get(name, {"passed PASS": SEVERAL.get(name, 1)}) for name in RIGHT if SEVERAL.get(name) != 0}
    assert ends(result.run) == wanted
    assert result.outcomes() == {"passed": 29, "skipped": 4, "unmeasured": 2, "known": 1, "inconclusive": 1}
    assert "KNOWN MISS test_known_miss.py::test_double_strided" in result.stdout
    assert "test_own_fake.py ..." in result.stdout
    assert "failing" not in result.stdout
    assert [one["name"] for one in result.run["devices"]] == [NAME]
    assert result.stdout.count(MADE_UP) == 2
    assert f"gpuperf: {NAME}, driver" in result.stdout
    assert NAME in result.report.read_text(encoding="utf-8")


def told(name: str) -> list[str]:
    """The lines that a failing example promises."""
    promised = ast.get_docstring(ast.parse((FOLDER / name).read_text(encoding="utf-8"))).partition("\n\n")[2].splitlines()
    assert promised, f"{name}: its docstring has no message"
    return promised


def check_messages(result, names: list[str]) -> None:
    assert result.returncode == 1, result.stdout
    assert ends(result.run) == {name: {"failed FAIL": 1} for name in names}
    said = {name: [line for line in result.stdout.splitlines() if line.startswith(f"FAIL {name}::")] for name in names}
    missing = [(name, line, said[name]) for name in names for line in told(name) if not any(line in one for one in said[name])]
    assert not missing
    # Not only the summary says it: the failure's own first line does.
    for name in names:
        assert re.search(rf"^(E   .*)?{re.escape(told(name)[0])}", result.stdout, re.MULTILINE), name


def test_each_failing_example_says_what_its_docstring_says(tmp_path):
    # One compiles, which takes as long as all the others.
    result = example().run_pytest("--gpuperf", "failing", f"--ignore={COMPILING}", env=alone(tmp_path))
    check_messages(result, [name for name in FAILING if name != COMPILING])


@pytest.mark.slow
def test_the_failing_example_that_compiles_says_what_its_docstring_says(tmp_path):
    check_messages(example().run_pytest("--gpuperf", COMPILING, env=alone(tmp_path)), [COMPILING])


def test_the_script_runs_outside_pytest(tmp_path, monkeypatch, capsys):
    for name, value in alone(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    runpy.run_path(str(FOLDER / "notebook_session.py"), run_name="__main__")
    for name in {"devices", "fake_kernels", "gpu_kernels"} - before:
        sys.modules.pop(name, None)
    printed = capsys.readouterr().out
    assert re.fullmatch(re.escape(NAME) + r": [\d.]+ us \[.*\], device, .* GB/s .*, .* % .* of the roof\n", printed), printed


@pytest.mark.slow
def test_without_the_option_they_run_once(tmp_path):
    result = example().run_pytest(env=alone(tmp_path))
    assert result.returncode == 0, result.stdout
    assert result.outcomes() == {"passed": 25, "skipped": 12}


@pytest.mark.slow
def test_with_an_ncu_the_counters_are_judged(tmp_path):
    moved = {"dram__bytes_write.sum": 4.0 * 16384 * 4, "dram__bytes_read.sum": 4.0 * 16384 * 4}
    none = {
        "l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum": 0,
        "l1tex__t_bytes_pipe_lsu_mem_local_op_ld.sum": 0,
        "l1tex__t_bytes_pipe_lsu_mem_local_op_st.sum": 0,
    }
    ncu = FakeNcu(tmp_path / "ncu", bodies={"test_double_moves_what_it_should/main": [moved | none]})
    result = example().run_pytest("--gpuperf", "--gpuperf-strict=all", "test_counters.py", env=alone(tmp_path) | ncu.environment())
    assert result.run is not None, result.stdout + result.stderr
    assert ends(result.run) == {"test_counters.py": {"passed PASS": 1}}, result.stdout


@pytest.mark.slow
def test_the_gate_commands_of_the_readme_end_well(tmp_path):
    copy = example()
    assert copy.run_pytest("--gpuperf", "test_two_versions.py").returncode == 0
    for options in (["--gpuperf-compare=last", "--gpuperf-fail-on=time:+5%"], ["--gpuperf-strict"]):
        result = copy.run_pytest("--gpuperf", "test_two_versions.py", *options, env=alone(tmp_path))
        assert result.returncode == 0, result.stdout
    recorded = copy.run_pytest("test_time_budget.py", "--gpuperf-record", env=alone(tmp_path))
    assert recorded.returncode == 0, recorded.stdout


def test_every_file_is_in_the_menu_once_and_the_menu_in_the_readme():
    linked = re.findall(r"^\| \[([^\]]+)\]\(([^)]+)\) \| \S.* \|$", README, re.MULTILINE)
    assert all(shown == target for shown, target in linked)
    assert sorted(shown for shown, _ in linked) == FILES
    assert "(examples/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_each_is_short_and_says_what_it_shows_and_how_to_run_it(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 50
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring
    if name in RIGHT:
        assert re.search(rf"^(    )?pytest .*examples/{name}\b", docstring, re.MULTILINE), docstring
    # A folder of tests is no package: two files of one name could not be collected together.
    assert not [path for other in ("tests", "suites") for path in (ROOT / other).rglob(Path(name).name)]


def test_gpu_and_fake_kernels_have_the_same_names():
    gpu = next(
        one
        for one in ast.parse((FOLDER / "gpu_kernels.py").read_text(encoding="utf-8")).body
        if isinstance(one, ast.ClassDef) and one.name == "GpuKernels"
    )
    names = {one.name for one in gpu.body if isinstance(one, ast.FunctionDef)} | {
        one.targets[0].id for one in gpu.body if isinstance(one, ast.Assign)
    }
    fake = next(one for one in ast.parse((FOLDER / "fake_kernels.py").read_text(encoding="utf-8")).body if isinstance(one, ast.ClassDef))
    assigned = {
        target.attr for one in ast.walk(fake) if isinstance(one, ast.Assign) for target in one.targets if isinstance(target, ast.Attribute)
    }
    others = {one.name for one in fake.body if isinstance(one, ast.FunctionDef)} | {
        one.targets[0].id for one in fake.body if isinstance(one, ast.Assign)
    }
    assert {name for name in names if not name.startswith("_")} == {name for name in assigned | others if not name.startswith("_")}


def test_commands_of_the_menu_name_options_and_files_that_there_are():
    flags = {row.flag for row in OPTIONS}
    commands = [line.removeprefix("$ ").partition("#")[0] for line in README.splitlines() if line.startswith("$ ")]
    assert len(commands) >= 8
    words = [word for command in commands for word in shlex.split(command)]
    assert {word.partition("=")[0] for word in words if word.startswith("--gpuperf")} <= flags
    named = [ROOT / word for word in words if word.startswith("examples") and "reports" not in word]
    assert named
    assert all(path.exists() for path in named), named

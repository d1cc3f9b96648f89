"""The arrows between modules point one way; this file holds the table."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "pytest_gpuperf"


@dataclasses.dataclass(frozen=True)
class Layer:
    """Modules that may import the layers named in `below`, and one another only where `siblings` says so."""

    name: str
    modules: tuple[str, ...]
    below: tuple[str, ...]
    siblings: bool = False


LAYERS = (
    Layer("facts", ("errors", "reasons", "work", "format", "metrics", "stats", "shares", "ratios", "values", "options", "seeds", "progress"), (), siblings=True),
    Layer("ground", ("device", "records", "nvtx_ranges", "passing"), ("facts",)),
    # budgets know the names of counters, which are theirs to judge.
    Layer("rooms", ("timing", "identity", "counters", "static", "budgets"), ("facts", "ground", "counters")),
    Layer("trial", ("qualify",), ("facts", "ground", "rooms")),
    Layer("case", ("measurement", "roofline", "comparison", "case", "catching", "runtime", "resources"), ("facts", "ground", "rooms"), siblings=True),
    Layer("verbs", ("fixture", "arguments", "comparing", "measuring", "hardware", "profiling", "standalone", "child_values", "child_verbs", "checks", "determining", "draws", "compiling"), ("facts", "ground", "rooms", "case"), siblings=True),
    Layer("machine", ("machine", "machine_table"), ("facts", "ground", "rooms", "case", "verbs")),
    # A page shows a limit on a short name beside the counter that it stands for, and explains what changed in machine code.
    Layer("readers", ("report", "reference"), ("facts", "records", "counters", "static"), siblings=True),
    # Readers of other tools' files: they make Measurements, so that budgets apply to what they read.
    Layer("traces", ("imports",), ("facts", "ground", "case")),
    Layer("commands", ("cli",), ("facts", "records", "passing", "readers", "traces", "machine", "static", "__init__")),
    Layer("testing", ("testing",), ("facts", "ground")),
    Layer(
        "process",
        ("state", "showing", "items", "running", "recorder", "parallel", "hooks", "relaunch", "counting", "neutral", "child", "seeding", "faults", "qualifying", "sanitizing", "sanitized", "checking", "goldens", "declaring", "gating", "terminating", "base", "budget_files", "budget_hooks", "recording", "ci"),
        ("facts", "ground", "rooms", "trial", "case", "verbs", "readers"),
        siblings=True,
    ),
    Layer("top", ("plugin",), ("facts", "ground", "rooms", "case", "verbs", "readers", "process", "__init__")),
    Layer("door", ("__init__",), ("facts", "ground", "rooms", "case", "verbs")),
)


def layer_of(module: str) -> Layer | None:
    return next((layer for layer in LAYERS if module in layer.modules), None)


def allowed(importer: str, imported: str) -> bool:
    if importer == imported:
        return True
    mine, theirs = layer_of(importer), layer_of(imported)
    if mine is None or theirs is None:
        return False
    return theirs.name in mine.below or imported in mine.below or (mine.siblings and mine is theirs)


def imports(source: str, file: str = "") -> list[tuple[int, str]]:
    """Return (line, dotted name) of each import in `source`, wherever it stands; `from a import b` gives a.b.

    >>> imports("from pytest_gpuperf import stats")
    [(1, 'pytest_gpuperf.stats')]
    """
    found = []
    for node in ast.walk(ast.parse(source, file)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import; write the whole name"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def wrong_arrows(importer: str, source: str, file: str = "", package: Path = ROOT / PACKAGE) -> list[str]:
    wrong = []
    for line, name in imports(source, file):
        parts = name.split(".")
        if parts[0] in {"kernels", "suites", "tests", "tools", "benchmarks"}:
            wrong.append(f"{file}:{line} imports {name}: the plugin never does")
        if parts[0] != PACKAGE or len(parts) == 1:
            continue
        # A name of the package itself, as __version__, is its door: only those outside may use it.
        target = parts[1] if (package / parts[1]).is_dir() or (package / f"{parts[1]}.py").is_file() or layer_of(parts[1]) else "__init__"
        if not allowed(importer, target):
            wrong.append(f"{file}:{line} imports {name}: {importer} must not know {target}")
    return wrong


def public_names() -> set[str]:
    tree = ast.parse((ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return set(ast.literal_eval(node.value))
    return set()


def private_uses(source: str, public: set[str], file: str = "") -> list[str]:
    wrong = []
    for line, name in imports(source, file):
        parts = name.split(".")
        if parts[0] == PACKAGE and len(parts) > 1 and parts[1] != "testing" and parts[1] not in public:
            wrong.append(f"{file}:{line} imports {name}: not a public name of {PACKAGE} or {PACKAGE}.testing")
    return wrong


def python_files(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py"))


def test_each_module_has_a_layer():
    modules = {path.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py") for path in python_files(PACKAGE)}
    homeless = sorted(module for module in modules if layer_of(module) is None)
    assert not homeless, f"no row of LAYERS names {', '.join(homeless)}"
    listed = [module for layer in LAYERS for module in layer.modules]
    assert len(listed) == len(set(listed))


def test_arrows_of_the_plugin():
    wrong = []
    for path in python_files(PACKAGE):
        importer = path.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")
        wrong += wrong_arrows(importer, path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", ["kernels", "suites", "examples"])
def test_only_public_names_outside(folder):
    public = public_names()
    wrong = [
        line for path in python_files(folder) for line in private_uses(path.read_text(encoding="utf-8"), public, path.relative_to(ROOT).as_posix())
    ]
    assert not wrong, "\n".join(wrong)


def test_facts_have_no_cycle():
    facts = next(layer for layer in LAYERS if layer.name == "facts").modules
    known = {
        module: {
            name.split(".")[1]
            for _, name in imports((ROOT / PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
            if name.startswith(f"{PACKAGE}.")
        }
        for module in facts
    }
    done: set[str] = set()
    while ready := {module for module, needs in known.items() if module not in done and needs & set(facts) <= done}:
        done |= ready
    assert done == set(facts), f"these import each other in a ring: {sorted(set(facts) - done)}"


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("timing", "from pytest_gpuperf.fixture import Fixture"),
        ("timing", "from pytest_gpuperf import identity"),
        ("report", "def page():\n    from pytest_gpuperf.device.backend import Backend"),
        ("cli", "import pytest_gpuperf.timing.clock"),
        ("device", "from pytest_gpuperf.records import journal"),
        ("values", "from pytest_gpuperf import measure"),
        ("plugin", "import kernels.masks"),
    ],
)
def test_a_wrong_arrow_is_seen(importer, source):
    assert wrong_arrows(importer, source)


def test_a_private_name_is_seen():
    public = {"Work", "NotIdentical"}
    assert private_uses("from pytest_gpuperf.timing.clock import Clock", public)
    assert private_uses("from pytest_gpuperf import values", public)
    assert not private_uses("from pytest_gpuperf import NotIdentical, Work\nfrom pytest_gpuperf.testing import FakeDevice", public)

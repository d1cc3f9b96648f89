"""OPTIONS: every command-line option with its ini twin; the one list behind CLI, ini, Config and docs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pytest

#: Sources of the time.
CLOCKS = ("device", "cupti", "graph")
NCU = ("auto", "off", "require", "cached")
REPLAYS = ("kernel", "app-range")
#: Tools of compute-sanitizer.
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
#: Architectures of servers' GPUs: A100, H100 and H200, B200.
DEFAULT_ARCHS = ("sm_80", "sm_90", "sm_100")
CACHES = ("cold", "warm", "steady", "cold-dirty")


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """One option: `--gpuperf-NAME` on the command line, `gpuperf_NAME` in the ini file, `field` in Config."""

    field: str
    flag: str
    kind: str
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    bare: str | None = None
    metavar: str | None = None

    @property
    def ini(self) -> str:
        """The name of the ini twin."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def shown(self) -> str:
        """What the help says of the default."""
        return f"default: {self.default:g}; " if isinstance(self.default, float) else f"default: {self.default}; " if self.default else ""


OPTIONS: tuple[Option, ...] = (
    Option("enabled", "--gpuperf", "flag", False, "measure and judge: without it bodies run once and no limit is judged"),
    Option("report", "--gpuperf-report", "path", "reports/latest.html", "write the HTML page here", metavar="PATH"),
    Option("json", "--gpuperf-json", "path", "", "write the run file here too, besides reports/runs/*.json", metavar="PATH"),
    Option("summary", "--gpuperf-summary", "path", "", "write the summary as Markdown here, besides adding it to the file that $GITHUB_STEP_SUMMARY names", metavar="PATH"),
    Option(
        "strict",
        "--gpuperf-strict",
        "choice",
        "",
        "let UNMEASURED cases fail; 'all' (the bare option): INCONCLUSIVE ones too",
        choices=("unmeasured", "all"),
        bare="all",
    ),
    Option("cache", "--gpuperf-cache", "choice", "cold", "cache state of measurements that do not name one", choices=CACHES),
    Option("limit", "--gpuperf-limit", "seconds", 1.0, "longest sampling time of a measurement; 5 rounds are always taken", metavar="SECONDS"),
    Option("clock", "--gpuperf-clock", "choice", "device", "source of times: the device's own clock, records of CUPTI, or graphs of several calls", choices=CLOCKS),
    Option("timeout", "--gpuperf-timeout", "seconds", None, "end the process, with the stacks of all threads and FAIL hang, where a case takes longer", metavar="SECONDS"),
    Option(
        "sanitize",
        "--gpuperf-sanitize",
        "choice",
        "",
        "measure nothing: run the selected cases once under this tool of compute-sanitizer, and fail those in which it finds something; implies --gpuperf",
        choices=SANITIZERS,
    ),
    Option("seed", "--gpuperf-seed", "seed", 0, "seed Python's, NumPy's and torch's generators, and gpuperf.rng, before each case, by this (0 by default) and the case; 'new' is another number in each run, 'off' leaves the global ones alone", metavar="NUMBER|new|off"),
    Option("update_golden", "--gpuperf-update-golden", "flag", False, "write what gpuperf.golden() is given to the files beside the tests, and show what changed"),
    Option("qualify", "--gpuperf-qualify", "flag", False, "after the tests, if any, measure how often this gate cries wolf and what it finds on this machine; implies --gpuperf"),
    Option("pairs", "--gpuperf-pairs", "count", 48, "pairs of measurements that --gpuperf-qualify takes of each of its kernels; the time it takes grows with it", metavar="COUNT"),
    Option("counters", "--gpuperf-counters", "names", "", "hardware counters that every case collects, besides those that it asks for itself; divided by commas or spaces", metavar="NAMES"),
    Option("ncu", "--gpuperf-ncu", "choice", "auto", "hardware counters of the cases that want some, from one profiled run before the timed one: auto; off; require: a case without its counters fails; cached: those of unchanged code are taken from an earlier run", choices=NCU),
    Option("ncu_replay", "--gpuperf-ncu-replay", "choice", "kernel", "what ncu runs again to collect more counters than fit into one pass: each kernel, or with app-range the whole child, which counts a body as one", choices=REPLAYS),
    Option("archs", "--gpuperf-archs", "names", ",".join(DEFAULT_ARCHS), "architectures for which limits on machine code, as registers, are judged where there is no GPU; divided by commas or spaces", metavar="NAMES"),
    Option("kernels", "--gpuperf-kernels", "names", "", "modules whose KERNELS rows declare kernels with their signatures: a launch of one of them with other argument types is an error, and kernels made inside functions are found by their rows", metavar="MODULES"),
    Option("budgets", "--gpuperf-budgets", "path", "gpuperf.toml", "file of budgets and known misses by test and device, below the limits that stand in the tests", metavar="PATH"),
    Option("record", "--gpuperf-record", "names", "", "write budgets of these quantities, divided by commas (the bare option: time), into the file of budgets: the upper end of what was measured and a margin; implies --gpuperf", bare="time", metavar="NAMES"),
    Option("record_margin", "--gpuperf-record-margin", "percent", 5.0, "margin in percent that --gpuperf-record leaves between what was measured and the limit", metavar="PERCENT"),
    Option("reference", "--gpuperf-reference", "path", "", "show this recorded run (a run file or journals) beside the results on the page", metavar="RUN"),
    Option("compare", "--gpuperf-compare", "run", "", "hold every measurement against this run (a run file, journals, a directory of run files, or 'last'): faster, the same, slower or not decided, with reasons", metavar="RUN|last"),
    Option("base", "--gpuperf-base", "text", "", "measure every case in turns with the code of this git commit, or of a directory with another checkout, in a second process: faster, the same or slower by a paired verdict", metavar="REF|DIR"),
    Option("fail_on", "--gpuperf-fail-on", "text", "", "fail the session where a quantity is worse than in the run of --gpuperf-compare, or than the code of --gpuperf-base, by more than this, as 'time:+5%,registers:+0,dram_write:+2%'", metavar="LIMITS"),
    Option("history", "--gpuperf-history", "path", "", "copy the run file into this directory too, which several machines may share; 'last' then looks there, and gpuperf show CASE --history prints the trend", metavar="DIR"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """The options in force."""

    enabled: bool = False
    report: Path = Path("reports/latest.html")
    json: Path | None = None
    summary: Path | None = None
    strict: str = ""
    cache: str = "cold"
    limit: float = 1.0
    clock: str = "device"
    timeout: float | None = None
    sanitize: str = ""
    seed: int | None = 0
    update_golden: bool = False
    qualify: bool = False
    pairs: int = 48
    counters: tuple[str, ...] = ()
    ncu: str = "auto"
    ncu_replay: str = "kernel"
    archs: tuple[str, ...] = DEFAULT_ARCHS
    kernels: tuple[str, ...] = ()
    budgets: Path = Path("gpuperf.toml")
    record: tuple[str, ...] = ()
    record_margin: float = 5.0
    reference: Path | None = None
    compare: str = ""
    base: str = ""
    fail_on: str = ""
    history: Path | None = None
    runs: Path = Path("reports/runs")


_INI_TYPES: dict[str, Literal["string", "bool"]] = {"flag": "bool"}


class OptionError(ValueError):
    """An option's value that cannot be used; one line."""


def add_options(parser: pytest.Parser) -> None:
    """Register every option and its ini twin."""
    group = parser.getgroup("gpuperf", "GPU performance budgets (pytest-gpuperf)")
    for option in OPTIONS:
        settings: dict[str, Any] = {"dest": f"gpuperf_{option.field}", "default": None, "help": f"{option.help} ({option.shown}ini: {option.ini})".replace("%", "%%")}
        if option.kind == "flag":
            settings["action"] = "store_true"
        elif option.bare is not None:
            settings |= {"nargs": "?", "const": option.bare, "metavar": "|".join(option.choices) or option.metavar}
        else:
            settings["metavar"] = "|".join(option.choices) or option.metavar
        group.addoption(option.flag, **settings)
        parser.addini(option.ini, option.help, type=_INI_TYPES.get(option.kind, "string"), default=None)


def read_options(config: pytest.Config) -> Config:
    """Return the options of a session: command line, else ini, else default; OptionError for a value that cannot be.

    Paths of the command line start where it was typed, those of the ini file and the defaults at the root of the tests.
    """
    found: dict[str, Any] = {}
    for option in OPTIONS:
        given, where, base = config.getoption(f"gpuperf_{option.field}", None), option.flag, config.invocation_params.dir
        if given is None or given == "":
            given, where, base = config.getini(option.ini), f"ini {option.ini}", config.rootpath
        if given is None or given == "":
            given = option.default
        found[option.field] = _convert(option, given, where, base)
    # A new number is new once: workers are handed that of their session.
    found["seed"] = getattr(config, "workerinput", {}).get("gpuperf_seed", found["seed"])
    # There is no qualifying and no recording without measuring, and no checking without a record.
    found["enabled"] = found["enabled"] or found["qualify"] or bool(found["sanitize"]) or bool(found["record"])
    return Config(**found, runs=config.rootpath / "reports" / "runs")


def without_effect(config: pytest.Config) -> list[str]:
    """Return the options that were typed in a session without --gpuperf, where they do nothing."""
    return [option.flag for option in OPTIONS if option.kind not in {"flag", "seed"} and config.getoption(f"gpuperf_{option.field}", None)]


def _convert(option: Option, given: Any, where: str, base: Path) -> Any:
    if option.choices and given and given not in option.choices:
        # Not before it is needed: every pytest session imports this module, whether it uses the plugin or not.
        from pytest_gpuperf.metrics import nearest

        swallowed = f" (without '=' the option takes the next word: write {option.flag}={option.bare})" if option.bare and where == option.flag else ""
        message = f"{where}: {given!r} is none of its values{nearest(str(given), option.choices)}{swallowed}"
        raise OptionError(message)
    if option.kind == "seconds" and given is not None:
        try:
            seconds = float(given)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds < 1e6:
            message = f"{where}: {given!r} is not a number of seconds above 0"
            raise OptionError(message)
        return seconds
    if option.kind == "percent":
        try:
            percent = float(given)
        except ValueError:
            percent = -1.0
        if not 0 <= percent <= 1000:
            message = f"{where}: {given!r} is not a number of percent from 0 to 1000"
            raise OptionError(message)
        return percent
    if option.kind == "count":
        if not str(given).isascii() or not str(given).isdigit() or not 0 < int(given) < 100_000:
            message = f"{where}: {given!r} is not a whole number above 0"
            raise OptionError(message)
        return int(given)
    if option.kind == "seed":
        if str(given) == "off":
            return None
        if str(given) == "new":
            import secrets

            return secrets.randbelow(2**31)
        if not str(given).isascii() or not str(given).isdigit() or int(given) >= 2**63:
            message = f"{where}: {given!r} is none of a whole number from 0, 'new' and 'off'"
            raise OptionError(message)
        return int(given)
    if option.kind == "flag":
        return bool(given)
    if option.kind == "names":
        return tuple(str(given or "").replace(",", " ").split())
    if option.kind == "path":
        return base / given if given else None
    if option.kind == "run":
        return given if given in {"", "last"} else str(base / given)
    return given

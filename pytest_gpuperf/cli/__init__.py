"""The console script `gpuperf`: what can be done with run files after the session, and what the machine can do."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import re
import sys
from typing import TYPE_CHECKING

from pytest_gpuperf import __version__
from pytest_gpuperf.cli.output import remark
from pytest_gpuperf.metrics import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Verb:
    """One verb: its name, its module in this package (`arguments(parser)` and `run(options) -> int`) and its help line."""

    name: str
    help: str

    @property
    def module(self) -> str:
        """The module that has the verb."""
        return f"{__name__}.{self.name}"


VERBS: tuple[Verb, ...] = (
    Verb("render", "make the page, a Markdown summary or what CI shows beside the code, of a run file, a journal or a directory of journals"),
    Verb("show", "print the measurements, budgets and verdicts of a run, the trend of a case, or the ranges of an nsys trace"),
    Verb("merge", "make one run file out of those of several shards"),
    Verb("static", "compile the kernels of a module without a GPU and print registers, spills, occupancy and instructions"),
    Verb("compare", "hold a run against a reference: what is faster, the same, slower or not decided, and why"),
    Verb("schema", "print the JSON Schema of the run files that this version writes"),
    Verb("roofs", "measure the bandwidths, operation rates and launch times of the first visible GPU"),
)

#: Exit statuses beside 0: a file or an argument that cannot be used, and Ctrl-C.
TROUBLE = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the console script and return its exit status; an error is one line on stderr and status 2."""
    from pytest_gpuperf.errors import GpuPerfError

    options = _parsed(sys.argv[1:] if argv is None else argv)
    try:
        status: int = importlib.import_module(options.verb_module).run(options)
        sys.stdout.flush()
    except (GpuPerfError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            return _reader_has_gone()
        remark(options.verb, [str(error).splitlines()[0]])
        return TROUBLE
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; a verb or an option that there is not ends it with the nearest one."""
    parser, verbs = _parser()
    if argv and not argv[0].startswith("-") and argv[0] not in verbs:
        parser.error(f"no verb {argv[0]!r}{nearest(argv[0], tuple(verbs))}")
    options, left = parser.parse_known_args(argv)
    if left:
        verb, given = verbs[options.verb], left[0].partition("=")[0]
        known = tuple(dict.fromkeys(re.findall(r"--[a-z][a-z-]*", verb.format_help())))
        verb.error(f"no option {given}{nearest(given, known)}" if given.startswith("--") else f"too many arguments: {' '.join(left)}")
    return options


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser, and those of the verbs by name."""
    parser = argparse.ArgumentParser(prog="gpuperf", description="Work with the run files of pytest --gpuperf: they lie in reports/runs.")
    parser.add_argument("--version", action="version", version=f"pytest-gpuperf {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        inner = verbs.add_parser(verb.name, help=verb.help, description=f"{verb.help[0].upper()}{verb.help[1:]}.")
        importlib.import_module(verb.module).arguments(inner)
        inner.set_defaults(verb_module=verb.module)
    return parser, dict(verbs.choices)


def _reader_has_gone() -> int:
    # `gpuperf show RUN | head`: the interpreter must not complain again when it flushes at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0

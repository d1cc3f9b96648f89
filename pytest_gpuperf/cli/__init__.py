"""The console script `gpuperf`: what can be done with run files after the session, and what the machine can do."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import sys
from typing import TYPE_CHECKING

from pytest_gpuperf import __version__
from pytest_gpuperf.cli.output import remark

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
    Verb("render", "make the HTML page of a run file, a journal or a run directory"),
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

    options = _parser().parse_args(argv)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gpuperf", description="Work with the run files of pytest --gpuperf: they lie in reports/runs.")
    parser.add_argument("--version", action="version", version=f"pytest-gpuperf {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        inner = verbs.add_parser(verb.name, help=verb.help, description=f"{verb.help[0].upper()}{verb.help[1:]}.")
        importlib.import_module(verb.module).arguments(inner)
        inner.set_defaults(verb_module=verb.module)
    return parser


def _reader_has_gone() -> int:
    # `gpuperf show RUN | head`: the interpreter must not complain again when it flushes at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0

"""gpuperf merge: one run file out of those of several shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", type=Path, nargs="+", metavar="RUN", help="run files, journals or directories of journals")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PATH", help="the run file to write")


def run(options: argparse.Namespace) -> int:
    """Write the merged run file; what needs saying goes to stderr, a line each."""
    from pytest_gpuperf.cli.output import remark, say
    from pytest_gpuperf.format import plural
    from pytest_gpuperf.records.merge import combine
    from pytest_gpuperf.records.runfile import load, write

    whole = combine([load(file) for file in options.files])
    write(whole, options.output)
    remark("merge", [*whole["notes"], *whole["problems"]])
    account = whole["account"]
    counts = ", ".join(f"{number} {name}" for name, number in account.items() if name != "collected" and number)
    cases = f"{plural(len(whole['cases']), 'case')} of {plural(len(options.files), 'run')}"
    say([f"{options.output}: {cases}; {plural(account['collected'], 'budget')}: {counts or 'none'}"])
    return 0

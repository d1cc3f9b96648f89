"""gpuperf roofs: measure what this machine's device can do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gpuperf.errors import GpuPerfError

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--limit", type=_seconds, default=0.1, metavar="SECONDS", help="longest sampling time of a row (default: 0.1)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every value with its interval here too")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e3:
        raise ValueError(text)
    return seconds


def run(options: argparse.Namespace) -> int:
    """Measure, print the table, write the file."""
    from pytest_gpuperf.cli.output import say
    from pytest_gpuperf.machine import measure_machine
    from pytest_gpuperf.machine_table import machine_lines

    if options.json is not None and not options.json.parent.is_dir():
        message = f"cannot write {options.json}: there is no such folder"
        raise GpuPerfError(message)
    found = measure_machine(limit=options.limit)
    say(machine_lines(found))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0

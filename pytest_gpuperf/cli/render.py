"""gpuperf render: the HTML page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="RUN", help="a run file (reports/runs/*.json), a journal (*.jsonl) or a directory of journals")
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help="the page (default: beside RUN, with the suffix .html)")
    parser.add_argument("--reference", type=Path, metavar="RUN", help="another run whose values stand beside")
    parser.add_argument("--history", type=Path, metavar="DIR", help="earlier runs, whose times are drawn (default: those beside RUN)")


def run(options: argparse.Namespace) -> int:
    """Write the page and print where it is."""
    from pytest_gpuperf.cli.output import remark, say
    from pytest_gpuperf.records.runfile import load
    from pytest_gpuperf.report import html

    told = load(options.file)
    reference = load(options.reference) if options.reference else None
    page = options.output or _beside(options.file)
    page.parent.mkdir(parents=True, exist_ok=True)
    comparison = None
    if reference is not None:
        from pytest_gpuperf.reference.compared import compare

        comparison = compare(told, reference)
    from pytest_gpuperf.reference.past import past

    earlier, said = past(told, options.history or options.file.parent)
    html.write(told, page, reference, comparison, earlier)
    remark("render", [*said, *told.get("notes", ()), *told.get("problems", ())])
    say([str(page)])
    return 0


def _beside(file: Path) -> Path:
    # Not with_suffix on a directory: run ids may hold dots.
    return file.with_name(f"{file.name}.html") if file.is_dir() else file.with_suffix(".html")

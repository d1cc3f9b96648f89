"""gpuperf compare: a run held against a reference, without pytest and without a GPU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.records.collection import without_collection

if TYPE_CHECKING:
    import argparse

    from pytest_gpuperf.reference.compared import Comparison

#: Exit status where a limit is exceeded, as of diff: 0 nothing to say, 1 there is, 2 (TROUBLE) neither could be told.
EXCEEDED = 1


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("reference", type=Path, metavar="REFERENCE", help="the run before: a run file, a journal, a directory of journals, or a directory of run files, of which the newest on a device of RUN's model is taken")
    parser.add_argument("run", type=Path, metavar="RUN", help="the run now")
    parser.add_argument("--fail-on", metavar="LIMITS", default="", help="by how much quantities may be worse, as 'time:+5%%,registers:+0,dram_write:+2%%': status 1 where one is exceeded")
    parser.add_argument("--strict", nargs="?", const="all", default="", choices=("unmeasured", "all"), help="let limits of --fail-on that are UNMEASURED fail too; 'all' (the bare option): INCONCLUSIVE ones as well")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="write it as Markdown here too, as for a job summary")
    parser.add_argument("--page", type=Path, metavar="PATH", help="write the HTML page of RUN, with the comparison, here too")
    parser.add_argument("-v", "--verbose", action="store_true", help="cut no list, and list what is the same")


@without_collection()
def run(options: argparse.Namespace) -> int:
    """Print the comparison; status 1 where a limit of --fail-on is exceeded."""
    from pytest_gpuperf.cli.output import say
    from pytest_gpuperf.reference.compared import compare, quantities
    from pytest_gpuperf.reference.limits import read_limits
    from pytest_gpuperf.reference.told import lines

    limits = read_limits(options.fail_on, "--fail-on") if options.fail_on else ()
    reference, now = _loaded(options, quantities(limits))
    comparison = compare(now, reference, limits)
    say(text for text, _ in lines(comparison, int(options.verbose)))
    _write(comparison, options)
    return EXCEEDED if comparison.failed(options.strict) else 0


def _loaded(options: argparse.Namespace, quantities: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the reference and the run."""
    from pytest_gpuperf.cli.output import remark
    from pytest_gpuperf.errors import RunFileError
    from pytest_gpuperf.records.runfile import load
    from pytest_gpuperf.reference.find import find, is_history
    from pytest_gpuperf.reference.slim import LARGE, load_both

    if not is_history(options.reference):
        # The page shows the reference's samples, so it needs all of it.
        return load_both(options.reference, options.run, quantities, LARGE if options.page is None else sys.maxsize)
    now = load(options.run)
    found, said = find(str(options.reference), options.reference, now)
    if found is None:
        raise RunFileError(said)
    remark("compare", [said] if said else [])
    return found, now


def _write(comparison: Comparison, options: argparse.Namespace) -> None:
    if options.markdown is not None:
        from pytest_gpuperf.reference.told import markdown

        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(markdown(comparison), encoding="utf-8", errors="backslashreplace")
    if options.page is not None:
        from pytest_gpuperf.report import html

        html.write(comparison.run, options.page, comparison.reference, comparison)

"""The Markdown summary of a run, as a job summary of CI shows it: the verdict, failures, what is not decided, every measurement; never above a limit in bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import plural
from pytest_gpuperf.reasons import PASS
from pytest_gpuperf.records.collection import without_collection
from pytest_gpuperf.reference.based import held_to_base
from pytest_gpuperf.report.account import READING_ORDER, account_line, case_counts, simulated
from pytest_gpuperf.report.beside import beside, commit_of
from pytest_gpuperf.report.counters import counters_line
from pytest_gpuperf.report.cut import Section, fit, size
from pytest_gpuperf.report.gfm import code, prose
from pytest_gpuperf.report.headline import headline, notices, without_gpu
from pytest_gpuperf.report.held import headed
from pytest_gpuperf.report.html import GLYPHS
from pytest_gpuperf.report.markdown_compared import against, differing
from pytest_gpuperf.report.markdown_parts import failing, measured, near, qualified, undecided
from pytest_gpuperf.report.resources import resources_line
from pytest_gpuperf.report.sanitized import sanitizer_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gpuperf.reference.compared import Comparison

Run = dict[str, Any]

#: GitHub drops a job summary of more than 1 MiB, of all processes of a step together, whole.
LIMIT = 900_000


@without_collection()
def summary(run: Run, reference: Run | None = None, comparison: Comparison | None = None, limit: int = LIMIT, page: str = "", file: str = "") -> str:
    """Return a run as GitHub-flavoured Markdown of at most `limit` bytes in UTF-8, verdict and tally apart, which always stand.

    What does not fit is left out in whole lines, the least important first; the last line counts it and says where it is: in the page and the run file
    at the paths given. A reference and a comparison are those of the page.
    """
    based = held_to_base(run)
    joined = beside(run, reference)
    verdict, sentence = headed(based, *headed(comparison, *headline(run)), "the base")
    sections = [
        Section(0, f"## {GLYPHS[verdict]} {verdict}: {prose(sentence)}\n\n{_tally(run)}"),
        Section(1, _where(run)),
        *_said(run),
        *differing(joined.differences() if comparison is None else [], joined.label),
        *failing(run),
        *against(based),
        *against(comparison),
        *undecided(run),
        *near(run),
        *measured(run, joined),
        *qualified(run),
        *_accounts(run),
    ]
    reserve = size(_pointer({section.noun: len(section.lines) for section in sections}, page, file)) + 1
    text, missing = fit(sections, limit - reserve)
    return f"{text}\n{_pointer(missing, page, file)}\n"


def _tally(run: Run) -> str:
    counts = case_counts(run)
    in_simulator = sum(case["verdict"] == PASS and simulated(case) for case in run["cases"])
    told = [f"{counts[name]:,}" + (f" ({in_simulator:,} in the simulator)" if name == PASS and in_simulator else "") for name in READING_ORDER]
    heads = " | ".join(f"{GLYPHS[name]} {name}" for name in READING_ORDER)
    return f"| {heads} |\n|{'---:|' * len(READING_ORDER)}\n| {' | '.join(told)} |"


def _where(run: Run) -> str:
    head = run["run"]
    devices = [f"{device['name']}, driver {device['driver']}, CUDA {device['cuda']}" for device in run["devices"]] or ["no GPU" if without_gpu(run) else "nothing measured on a GPU"]
    said = ["; ".join(dict.fromkeys(devices)), f"commit {commit_of(run)}", f"{str(head['started'])[:16].replace('T', ' ')} UTC"]
    return f"pytest-gpuperf · {' · '.join(map(prose, said))}\\\n{code(' '.join(head['argv']))}"


def _said(run: Run) -> Iterator[Section]:
    """Yield what must be known before any number is read."""
    told = notices(run)
    if told:
        yield Section(1, "", (*(f"> {prose(line)}\\" for line in told[:-1]), f"> {prose(told[-1])}"), noun="notice")


def _accounts(run: Run) -> Iterator[Section]:
    """Yield where the budgets went, and what ran beside the timed bodies."""
    lines = [account_line(run), counters_line(run), resources_line(run["cases"]), *(line for line, _ in sanitizer_lines(run))]
    yield Section(2, "", tuple(f"- {prose(line)}" for line in lines if line))


def _pointer(missing: dict[str, int], page: str, file: str) -> str:
    """Write what was left out, and where everything is."""
    left = ", ".join(plural(count, f"more {noun}") for noun, count in missing.items() if count)
    places = [f"the page {code(page, 300)}" if page else "", f"the run file {code(file, 300)}" if file else "", f"`gpuperf show {_word(file)}`" if file else "`gpuperf show`"]
    where = ", ".join(filter(None, places))
    return f"**Left out for want of room: {left}.** All of it: {where}." if left else f"More: {where}."


def _word(file: str) -> str:
    """Return a path where it can stand in a command of ours; else a word for it."""
    return file if file and all(char.isalnum() or char in "/._-" for char in file) and len(file) < 200 else "RUN"

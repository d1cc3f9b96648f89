"""The report page: one HTML file that needs no network and can be read with JavaScript off."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import importlib.resources
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pytest_gpuperf.format import format_margin, format_quantity, plural, shorten, visible
from pytest_gpuperf.reasons import PASS
from pytest_gpuperf.records.collection import without_collection
from pytest_gpuperf.reference.based import held_to_base
from pytest_gpuperf.report.account import READING_ORDER, account_line, case_counts, failures, gathered, simulated
from pytest_gpuperf.report.beside import Beside, beside, commit_of, surroundings
from pytest_gpuperf.report.compared import compared
from pytest_gpuperf.report.counters import counted, counters_line
from pytest_gpuperf.report.details import code_lines, drawn
from pytest_gpuperf.report.headline import headline, notices
from pytest_gpuperf.report.held import headed
from pytest_gpuperf.report.pack import pack
from pytest_gpuperf.report.resources import resources_line
from pytest_gpuperf.report.sections import sections
from pytest_gpuperf.report.text_file import write_text
from pytest_gpuperf.report.views import Row, draw, facts, recorded, reproduce, rows, shown_by, thumbnail

if TYPE_CHECKING:
    import os

    import jinja2

    from pytest_gpuperf.reference.compared import Comparison
    from pytest_gpuperf.report.history import History

#: Failures that are shown whole; the rest are lines.
WHOLE_FAILURES = 50
#: Subjects of a reason that are listed; the rest are in the table.
SUBJECTS = 20
#: Rows of the table on one page of it.
PAGE_ROWS = 200
#: Changes since the reference that are not folded.
CHANGES = 30
#: Checks of one case that its details list, failed ones first.
CHECKS = 12
#: Characters of a test's error text that a failure shows.
ERROR_CHARACTERS = 4000

#: The page's style, in parts.
STYLES = ("page.css", "curves.css", "counters.css", "resources.css", "roofline.css", "held.css", "details.css")
GLYPHS = {"PASS": "\u2713", "FAIL": "\u2717", "INCONCLUSIVE": "\u2248", "UNMEASURED": "\u25cb", "NOT-APPLICABLE": "\u2013"}


@dataclasses.dataclass(frozen=True, slots=True)
class Columns:
    """The table as columns, the form in which the page's script gets it: ids, html and details are packed with words."""

    words: list[str]
    ids: list[str]
    verdicts: list[int]
    html: list[str]
    details: list[str]
    keys: dict[str, list[float | None]]


@without_collection()
def render(run: dict[str, Any], reference: dict[str, Any] | None = None, comparison: Comparison | None = None, history: History | None = None) -> str:
    """Return the page of a run as HTML text; a reference run's values are shown beside, labelled with their origin, and what a comparison says of them.

    `history` has the times of earlier runs, by node id and measurement.
    """
    environment = _environment()
    parts: Any = environment.get_template("parts.html.jinja").module
    joined = beside(run, reference)
    table = drawn(rows(run, joined), run, joined, history or {})
    columns = _columns(table, run, joined, parts)
    css, script = "".join(map(_asset, STYLES)), _asset("page.js")
    found = failures(run)
    cards = gathered(found)
    against_base = held_to_base(run)
    verdict, sentence = headed(against_base, *headed(comparison, *headline(run)), "the base")
    counts = case_counts(run)
    shown = sections(run, joined, found, (against_base, comparison), len(table))
    return environment.get_template("page.html.jinja").render(
        css=_markup(css),
        script=_markup(script),
        policy=_policy(css, script),
        data=_markup(_data(columns)),
        run=run,
        verdict=verdict,
        sentence=sentence,
        notices=notices(run),
        counts=counts,
        total=sum(counts.values()),
        simulated=sum(case["verdict"] == PASS and simulated(case) for case in run["cases"]),
        masthead=_masthead(run),
        account=account_line(run),
        counters=counters_line(run),
        machine_code=resources_line(run["cases"]),
        resources=shown.resources,
        qualified=shown.qualified,
        held=shown.held,
        based=shown.based,
        over_size=shown.curves,
        roofline=shown.roofline,
        first=shown.changes_first,
        sections=shown.named(),
        failures=[(failure, more, [row for row in table if row.case is failure.case]) for failure, more in cards[:WHOLE_FAILURES]],
        more_failures=[one for first, more in cards[WHOLE_FAILURES:] for one in (first, *more)],
        groups=shown.groups,
        subjects=SUBJECTS,
        table=table[:PAGE_ROWS],
        row_count=len(table),
        page_rows=PAGE_ROWS,
        order=READING_ORDER,
        environment=surroundings(run),
        calibrations=_calibrations(run),
        beside=joined,
        error_characters=ERROR_CHARACTERS,
    )


def write(
    run: dict[str, Any], path: str | os.PathLike[str], reference: dict[str, Any] | None = None, comparison: Comparison | None = None, history: History | None = None
) -> Path:
    """Write the page of a run to a path, at once or not at all; returns the path. RunFileError where it cannot be written."""
    target = Path(path)
    write_text(render(run, reference, comparison, history), target, "report page")
    return target


def _columns(table: list[Row], run: dict[str, Any], joined: Beside, parts: Any) -> Columns:
    places: dict[str, int] = {verdict: place for place, verdict in enumerate(READING_ORDER)}
    heads = ("verdict", "time", "margin", "bandwidth", "percent", "host_time")
    names = sorted(range(len(table)), key=lambda place: table[place].nodeid)
    by_name: list[float | None] = [0.0] * len(table)
    for rank, place in enumerate(names):
        by_name[place] = rank
    with_reference = joined.reference is not None
    texts = (
        [row.nodeid for row in table],
        [str(parts.table_row(row, with_reference)) for row in table],
        [str(parts.row_details(row, joined, run)) for row in table],
    )
    words, (ids, html, details) = pack(texts)
    return Columns(
        words=words,
        ids=ids,
        verdicts=[places.get(row.verdict, len(places)) for row in table],
        html=html,
        details=details,
        keys={"test": by_name, **{head: [row.keys[place] for row in table] for place, head in enumerate(heads)}},
    )


def _data(columns: Columns) -> str:
    """Write JSON that can stand inside a script element: no `<`, so neither an end tag nor a comment can begin."""
    text = json.dumps(dataclasses.asdict(columns), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _policy(css: str, script: str) -> str:
    """Return a content security policy that allows this page's own style and script by hash, and no network."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, script)]
    return f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; img-src data:; base-uri 'none'; form-action 'none'"


def _masthead(run: dict[str, Any]) -> list[tuple[str, str]]:
    head = run["run"]
    devices = [f"{device['name']}, driver {device['driver']}" for device in run["devices"]] or ["none"]
    said = [
        ("device", "; ".join(dict.fromkeys(devices))),
        ("commit", commit_of(run)),
        ("started", str(head["started"])),
        ("command", " ".join(head["argv"])),
    ]
    return [(name, visible(text)) for name, text in said]


def _calibrations(run: dict[str, Any]) -> list[tuple[str, str]]:
    said = []
    for device in run["devices"]:
        constant = device.get("calibration")
        tick = f"clock step {format_quantity(device['tick_s'], 's')}" if device.get("tick_s") else "clock step unknown"
        if constant:
            names = (("kernel_s", "kernels"), ("graph_s", "graph replays"), ("systematic_s", "systematic half-width"))
            told = [f"{name} {format_quantity(constant[key], 's')}" for key, name in names if constant.get(key) is not None]
            tick = f"{tick}; constant subtracted: {', '.join(told)} ({constant.get('detail') or 'no detail'})"
        else:
            tick += "; not calibrated in this run"
        said.append((visible(device["name"]), visible(tick)))
    return said


@functools.cache
def _asset(name: str) -> str:
    return importlib.resources.files("pytest_gpuperf.report").joinpath(name).read_text(encoding="utf-8")


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2

    made = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_asset),
    )
    made.filters |= {"visible": visible, "shorten": shorten, "quantity": format_quantity, "margin": format_margin, "svg": _markup}
    made.filters["breakable"] = breakable
    made.filters["fragment"] = lambda nodeid: quote(visible(nodeid).encode("utf-8", "backslashreplace"), safe="/:")
    made.globals |= {
        "glyphs": GLYPHS, "checks_shown": CHECKS, "changes_shown": CHANGES, "plural": plural, "facts": facts, "thumbnail": thumbnail, "reproduce": reproduce, "draw": draw, "recorded": recorded, "compared": compared,
        "counted": counted, "code_lines": code_lines, "shown_by": shown_by,
    }  # fmt: skip
    return made


def breakable(name: str) -> Any:
    """Return a path or a name as HTML that may break behind each slash and underscore, where one that is too long for its column should."""
    import markupsafe

    return _markup(re.sub(r"([/_])(?=[^/_])", r"\1<wbr>", str(markupsafe.escape(name))))


def _markup(text: str) -> Any:
    """Mark text as HTML of our own making (drawings, styles, scripts), which autoescape leaves alone."""
    import markupsafe

    return markupsafe.Markup(text)  # noqa: S704 - never foreign text: see the callers

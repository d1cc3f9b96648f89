"""gpuperf render: a run as a page, as a Markdown summary, or as what CI shows beside the code."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from pytest_gpuperf.reference.compared import Comparison
    from pytest_gpuperf.report.history import History

Run = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What is to be rendered: a run, the file that it was read from, and what stands beside it."""

    run: Run
    file: Path
    reference: Run | None = None
    comparison: Comparison | None = None
    earlier: History | None = None


def _page(told: Told) -> str:
    from pytest_gpuperf.report.html import render

    return render(told.run, told.reference, told.comparison, told.earlier)


def _summary(told: Told) -> str:
    from pytest_gpuperf.report.markdown import summary
    from pytest_gpuperf.report.markdown_file import shown_path

    return summary(told.run, told.reference, told.comparison, file=shown_path(told.file.absolute()))


def _annotations(told: Told) -> str:
    from pytest_gpuperf.report.annotations import commands

    return "".join(f"{line}\n" for line in commands(told.run, *_roots(), told.comparison))


def _code_quality(told: Told) -> str:
    from pytest_gpuperf.report.gitlab import code_quality

    return code_quality(told.run, *_roots(), told.comparison)


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """One form of a run: its name, what writes its text, what it is called, the suffixes that mean it, and that of its file where none is named.

    Without a suffix of its own it goes to standard output.
    """

    name: str
    text: Callable[[Told], str]
    called: str
    suffixes: tuple[str, ...] = ()
    beside: str = ""


FORMATS: tuple[Format, ...] = (
    Format("html", _page, "report page", (".html", ".htm"), ".html"),
    Format("markdown", _summary, "summary", (".md", ".markdown"), ".md"),
    Format("annotations", _annotations, "annotations"),
    Format("gitlab", _code_quality, "Code Quality report"),
)
_NAMES = tuple(row.name for row in FORMATS)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="RUN", help="a run file (reports/runs/*.json), a journal (*.jsonl) or a directory of journals")
    parser.add_argument("-o", "--output", metavar="PATH", help="where to; - is standard output (default: a page or a summary beside RUN, all else to standard output)")
    parser.add_argument(
        "--format", metavar="|".join(_NAMES), help="html: the page; markdown: the job summary; annotations: workflow commands of GitHub; gitlab: a Code Quality report (default: by the suffix of PATH, else html)"
    )
    parser.add_argument("--append", action="store_true", help="add a Markdown summary to the end of PATH, as of $GITHUB_STEP_SUMMARY, in the room that is left below GitHub's limit")
    parser.add_argument("--reference", type=Path, metavar="RUN", help="another run whose values stand beside")
    parser.add_argument("--fail-on", metavar="LIMITS", help="limits on changes, as 'time:+5%%' (default: those that RUN's own session exceeded); needs --reference")
    parser.add_argument("--history", type=Path, metavar="DIR", help="earlier runs, whose times are drawn (default: those beside RUN)")


def run(options: argparse.Namespace) -> int:
    """Write what was asked for, and print where it is."""
    from pytest_gpuperf.cli.output import remark, say
    from pytest_gpuperf.errors import RunFileError
    from pytest_gpuperf.records.runfile import load
    from pytest_gpuperf.reference.past import past

    form = _form(options.format, options.output, append=options.append)
    loaded = load(options.file)
    reference = load(options.reference) if options.reference else None
    comparison = None
    if options.fail_on and reference is None:
        message = "--fail-on is held against another run: name it with --reference"
        raise RunFileError(message)
    if reference is not None:
        from pytest_gpuperf.reference.compared import compare
        from pytest_gpuperf.reference.limits import read_limits

        # Without a word those that its own session exceeded.
        wanted = options.fail_on or ",".join(loaded["run"].get("exceeded") or ())
        comparison = compare(loaded, reference, read_limits(wanted, "--fail-on") if wanted else ())
    earlier, said = past(loaded, options.history or options.file.parent) if form.name == "html" else (None, [])
    told = Told(loaded, options.file, reference, comparison, earlier)
    target = options.output or (str(_beside(options.file, form.beside)) if form.beside else "-")
    if options.append:
        from pytest_gpuperf.report.markdown_file import append, shown_path

        append(loaded, Path(target), reference, comparison, file=shown_path(options.file.absolute()))
    elif target == "-":
        _write_bytes(form.text(told).encode("utf-8", "backslashreplace"))
    else:
        from pytest_gpuperf.report.text_file import write_text

        write_text(form.text(told), Path(target), form.called)
    remark("render", [*said, *loaded.get("notes", ()), *loaded.get("problems", ())])
    if target != "-":
        say([target])
    return 0


def _form(name: str | None, output: str | None, *, append: bool) -> Format:
    """Return the row of what was asked for; RunFileError for what is none, in one line."""
    from pytest_gpuperf.errors import RunFileError
    from pytest_gpuperf.metrics import nearest

    suffix = Path(output).suffix.lower() if output not in {None, "-"} else ""
    found = next((row for row in FORMATS if (row.name == name if name else suffix in row.suffixes)), None)
    if found is None and name:
        message = f"--format {name}: is none of its values{nearest(name, _NAMES)}"
        raise RunFileError(message)
    if found is None and output not in {None, "-"}:
        message = f"-o {output}: no format has the suffix {suffix!r}: name one with --format {'|'.join(_NAMES)}"
        raise RunFileError(message)
    found = found or FORMATS[0]
    if append and (found.name != "markdown" or output in {None, "-"}):
        message = "--append adds a Markdown summary to a file: name it with -o, and --format markdown where its suffix does not say so"
        raise RunFileError(message)
    return found


def _roots() -> tuple[str, str]:
    """Return where the files of a record are taken to start, which it does not say, and where those of the repository do."""
    root = str(Path.cwd())
    return root, os.environ.get("GITHUB_WORKSPACE") or os.environ.get("CI_PROJECT_DIR") or root


def _write_bytes(data: bytes) -> None:
    """Write to standard output as UTF-8, whatever encoding a terminal or pipe is said to have."""
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(data.decode())
    else:
        buffer.write(data)


def _beside(file: Path, suffix: str) -> Path:
    # Not with_suffix on a directory: run ids may hold dots.
    return file.with_name(f"{file.name}{suffix}") if file.is_dir() else file.with_suffix(suffix)

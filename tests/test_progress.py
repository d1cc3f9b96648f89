"""Progress on long work: what a line says, what a session prints of it, and that a measurement feels nothing."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import re
import subprocess
import sys

import pytest
from plugin_runs import FAKE, run_pytest
from rules_bench import US, bench, device
from screens import Screen

from pytest_gpuperf import showing
from pytest_gpuperf.progress import PHASES, Progress, Telling, columns, line
from pytest_gpuperf.testing import FakeDevice
from pytest_gpuperf.timing.witness import Witness

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLD = Progress("sampling", "test_commit.py::test_commit[128]", "main", 240, 6, centre=12.41e-6, open=0.006, spent=0.4, limit=1.0)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("phase", [row.name for row in PHASES])
def test_a_line_fits_every_width_and_says_more_where_there_is_more_room(phase, named):
    told = Progress(phase, "a/test_b.py::test_c[\u6e2c\u5b9a-x]", "main", 240, 6, 12, centre=12.41e-6, open=0.006, spent=0.4, limit=1.0, done=2, of=5)
    texts = [line(told, width, named=named) for width in range(140)]
    assert all(columns(text) <= width for width, text in enumerate(texts))
    assert texts[40]
    assert not texts[3]
    assert all(columns(less) <= columns(more) for less, more in itertools.pairwise(texts))


def test_a_line_tells_what_was_taken():
    assert line(TOLD) == "measuring test_commit.py::test_commit[128] main: 240 samples in 6 rounds, 12.41 us ± 0.6 %, 0.4 of 1.0 s"
    assert line(TOLD, named=True) == "measuring main: 240 samples in 6 rounds, 12.41 us ± 0.6 %, 0.4 of 1.0 s"
    assert line(Progress("compiling", "t.py::a", "main")) == "compiling (first call) t.py::a main"
    assert line(Progress("comparing", "t.py::a", "compare", blocks=12, open=0.008, spent=0.2, limit=2.0)).endswith("12 blocks, ratio ± 0.8 %, 0.2 of 2.0 s")
    assert line(Progress("static", done=1, of=162)) == "compiling: 1 of 162 kernels"


def test_one_round_has_no_interval_yet():
    told = Progress("sampling", "t.py::a", "main", 20, 1, centre=1e-6, open=float("inf"))
    assert line(told) == "measuring t.py::a main: 20 samples in 1 round, 1.000 us"


def test_a_hostile_name_moves_no_cursor():
    text = line(Progress("sampling", "t.py::a[\x1b[2J\n\r\u202e]", "x\x07"))
    assert text.isprintable()


def test_every_phase_is_told_somewhere():
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "pytest_gpuperf").rglob("*.py") if path.name != "progress.py")
    missing = [row.name for row in PHASES if f'"{row.name}"' not in source]
    assert not missing, f"no code tells of {missing}"


LONG = """
def test_one(gpuperf, fake):
    gpuperf.measure(fake.kernel(5e-6))
def test_two(gpuperf, fake):
    gpuperf.compare({"loop": fake.kernel(50e-6), "kernel": fake.kernel(10e-6)})
    gpuperf.measure(fake.kernel(5e-6), name="last")
"""


def test_no_terminal_and_long_work_are_plain_lines(pytester, monkeypatch):
    monkeypatch.setattr(showing, "QUIET", 0.0)
    monkeypatch.setattr(showing, "GAPS", (0.0,))
    run = run_pytest(pytester, LONG, quick=False)
    said = [text for text in run.text.splitlines() if text.startswith("gpuperf: ")]
    assert run.status == 0
    assert re.search(r"^gpuperf: measuring test_it.py::test_one main: \d+ samples in \d+ rounds, 5\.\d+ us ± [\d.]+ %, .* of 1.0 s \(\d+ s in this case; case 1 of 2\)$", run.text, re.MULTILINE)
    assert any(text.startswith("gpuperf: comparing test_it.py::test_two compare: ") and text.endswith("case 2 of 2)") for text in said)
    assert "\x1b[K" not in run.text


@pytest.mark.parametrize("args", [("-q",), ("--gpuperf-off",)])
def test_nothing_with_q_and_nothing_without_gpuperf(args, pytester, monkeypatch):
    monkeypatch.setattr(showing, "QUIET", 0.0)
    monkeypatch.setattr(showing, "GAPS", (0.0,))
    assert not re.search("gpuperf: (measuring|comparing|calibrating|first|compiling|one untimed)", run_pytest(pytester, LONG, *args).text)


def test_a_short_session_prints_no_progress(pytester):
    assert "measuring" not in run_pytest(pytester, LONG).text


SEEN = FAKE + """
from pytest_gpuperf import passing, showing
passing.REDRAW = showing.REDRAW = 0.0
"""
ENDED = """
import pytest
@pytest.mark.parametrize("n", range(2))
def test_one(gpuperf, fake, n):
    gpuperf.measure(fake.kernel(5e-6))
@pytest.mark.gpuperf(time="<= 1 us")
def test_fails(gpuperf, fake):
    gpuperf._runtime._on_wait = None
    gpuperf.compare({"loop": fake.kernel(50e-6), "kernel": fake.kernel(10e-6)}, name="both")
    gpuperf.measure(fake.kernel(5e-6))
def test_stops(gpuperf, fake):
    kernel, calls = fake.kernel(5e-6), iter(range(150))
    def body():
        if next(calls, None) is None:
            raise KeyboardInterrupt
        kernel()
    gpuperf.measure(body)
"""
#: One drawing or removal of the passing line, as it goes to the terminal.
DRAWN = re.compile(r"(?:\x1b\[\d+D|\r(?:\x1b\[\d+C)?)\x1b\[K|\x1b\[2m[^\x1b]*\x1b\[0m")


def test_the_screen_of_a_session_is_as_if_nothing_had_been_drawn(tmp_path):
    for name, text in {"pytest.ini": "[pytest]\n", "conftest.py": SEEN, "test_it.py": ENDED}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    first, second = os.openpty()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GPUPERF_", "NO_COLOR", "COLUMNS"))}
    environment |= {"TERM": "xterm", "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "pytest_gpuperf.plugin", "-p", "no:cacheprovider", "--gpuperf"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdin=second, stdout=second, stderr=second)
    os.close(second)
    parts = []
    # The end of a terminal is an error on Linux.
    with contextlib.suppress(OSError):
        while part := os.read(first, 1 << 16):
            parts.append(part)
    os.close(first)
    assert process.wait() == 2, "KeyboardInterrupt"
    whole = b"".join(parts).decode()
    drawn = [found.partition("\x1b[2m")[2].removesuffix("\x1b[0m").strip() for found in DRAWN.findall(whole)]
    for what in ("measuring test_it.py::test_one[0] main: ", "comparing test_it.py::test_fails both: ", "measuring test_it.py::test_stops main"):
        assert any(one.startswith(what) for one in drawn), (what, drawn)
    seen, plain = Screen(80), Screen(80)
    seen.feed(whole)
    plain.feed(DRAWN.sub("", whole))
    assert seen.lines == plain.lines
    assert not any("measuring" in text for text in seen.lines)
    assert any(text.startswith("test_it.py ..F") for text in seen.lines)


class Watched(FakeDevice):
    """A device that knows whether a stream is held."""

    held = False

    def block(self, stream, timeout):
        self.held = True
        super().block(stream, timeout)

    def release(self):
        self.held = False
        return super().release()


class Greedy:
    """A sink that wants to hear everything, and whether it hears it at the wrong time."""

    def __init__(self, fake: Watched, rounds: list[bool]) -> None:
        self.fake, self.rounds, self.heard = fake, rounds, []

    def due(self) -> bool:
        return True

    def show(self, progress: Progress) -> None:
        assert not self.fake.held, "told while a stream was held"
        assert not self.rounds[0], "told within a round"
        self.heard.append(line(progress))


def taken(monkeypatch: pytest.MonkeyPatch, work: str, *, told: bool) -> tuple[list[object], list[str]]:
    """Measure on a fresh device, with somebody who is told everything or with nobody; return the records and what was heard."""
    fake, rounds = device(kind=Watched, seed=7, uuid="GPU-told"), [False]
    sink = Greedy(fake, rounds)
    start, end = Witness.start, Witness.end
    monkeypatch.setattr(Witness, "start", lambda self, stream: (rounds.__setitem__(0, True), start(self, stream))[1])
    monkeypatch.setattr(Witness, "end", lambda *args: (end(*args), rounds.__setitem__(0, False))[0])
    with bench(fake, limit=0.02 if work == "sustained" else 0.2) as gpuperf:
        if told:
            gpuperf._runtime.telling = lambda nodeid="", name="", limit=0.0: contextlib.nullcontext(Telling(sink, nodeid, name, limit))
        if work == "compare":
            found = gpuperf.compare({"loop": fake.kernel(50 * US), "kernel": fake.kernel(10 * US)})
            records = [found.record(), *(one.record() for one in found.measurements.values())]
        else:
            duty = "sustained" if work == "sustained" else "spaced"
            body = fake.kernel(500 * US if work == "sustained" else 5 * US)
            records = [gpuperf.measure(body, cache="cold" if work == "sustained" else work, duty=duty).record()]
    monkeypatch.undo()
    return records, sink.heard


@pytest.mark.parametrize("work", ["cold", "warm", "sustained", "compare"])
def test_results_are_the_same_to_the_last_bit_and_nothing_is_told_within_a_round(work, monkeypatch):
    alone, none = taken(monkeypatch, work, told=False)
    beside, heard = taken(monkeypatch, work, told=True)
    assert not none
    assert beside == alone
    if work == "sustained":
        assert not any("samples in" in one for one in heard), "a device that is never to rest is not kept waiting"
    else:
        count = sum("samples in" in one or "block" in one for one in heard)
        assert count >= 5, heard


def test_what_is_told_is_what_the_record_says(monkeypatch):
    (record,), heard = taken(monkeypatch, "cold", told=True)
    last = [one for one in heard if "samples in" in one][-1]
    rounds = record["samples"]["rounds"]
    assert f"{sum(map(len, rounds))} samples in {len(rounds)} rounds" in last
    assert f"{record['values']['time']['number'] * 1e6:.2f}"[:3] in last

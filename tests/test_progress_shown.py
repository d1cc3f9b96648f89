"""Where progress is shown: the passing line leaves no trace, plain lines are few, and whatever works tells how far it is."""

from __future__ import annotations

import os
import re
import select
import threading
import time
import types

import pytest
from screens import Screen, Wire

from pytest_gpuperf.counters.passes import Watch
from pytest_gpuperf.counters.progress import Story
from pytest_gpuperf.passing import Terminal, telling_on, terminal_of
from pytest_gpuperf.progress import Progress
from pytest_gpuperf.qualify import trial
from pytest_gpuperf.qualify.plan import LEVELS, planned, turns
from pytest_gpuperf.qualify.subject import SUBJECTS
from pytest_gpuperf.showing import Shown, Workers
from pytest_gpuperf.static import workers

TOLD = Progress("sampling", "test_commit.py::test_commit[128]", "main", 240, 6, centre=12.41e-6, open=0.006, spent=0.4, limit=1.0)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("width", [20, 59, 80, 100])
def test_it_leaves_no_trace_wherever_pytest_stands(width, named, monkeypatch):
    for written in ["", ".", "test_it.py ..", "test_it.py::test_one ", *("x" * count for count in (width - 5, width - 1, width, width + 7, 2 * width))]:
        wire, plain = Wire(width, monkeypatch), Screen(width)
        for screen in (wire.screen, plain):
            screen.feed(f"above\n{written}")
        rows = len(plain.rows)
        for rounds in (1, 2, 3):
            wire.terminal.draw(Progress("sampling", "test_it.py::test_one", "main", 20 * rounds, rounds, centre=1e-6), written, named=named)
            assert len(wire.look()) == rows, "it fits into the line that pytest writes"
        wire.terminal.clear()
        wire.look()
        for screen in (wire.screen, plain):
            screen.feed("PASSED\nbelow")
        assert wire.look() == plain.lines
        wire.close()


def test_beside_a_name_it_does_not_repeat_it_and_in_a_narrow_terminal_it_takes_its_place(monkeypatch):
    wire = Wire(80, monkeypatch)
    wire.screen.feed("test_it.py::test_one ")
    wire.terminal.draw(TOLD, "test_it.py::test_one ", named=True)
    assert wire.look() == ["test_it.py::test_one measuring main: 12.41 us ± 0.6 %"]
    wire.close()
    wire = Wire(46, monkeypatch)
    wire.screen.feed("test_commit.py::test_commit[128] ")
    wire.terminal.draw(TOLD, "test_commit.py::test_commit[128] ", named=True)
    assert wire.look() == ["test_commit[128] main: 12.41 us ± 0.6 %"]
    wire.close()


def test_a_terminal_that_is_gone_takes_nothing_with_it():
    end, descriptor = os.pipe()
    os.close(end)
    terminal = Terminal(descriptor)
    terminal.draw(TOLD, "", named=False)
    terminal.close()
    terminal.draw(TOLD, "", named=False)
    terminal.clear()


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("NO_COLOR", "1")])
def test_a_terminal_that_cannot_erase_is_none(name, value, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    first, second = os.openpty()
    with os.fdopen(second, "w") as stream:
        found = terminal_of(stream)
        assert found is not None
        found.close()
        with telling_on(stream) as telling:
            telling.phase("static")
            telling.count(1, 162)
        written = b""
        # What is written to a terminal comes to its other end a moment later.
        while not written.endswith(b"\x1b[K") and select.select([first], [], [], 5)[0]:
            written += os.read(first, 4096)
        assert re.fullmatch(rb"\x1b\[2mcompiling\x1b\[0m\x1b\[\d+D\x1b\[K", written)
        monkeypatch.setenv(name, value)
        assert terminal_of(stream) is None
        with telling_on(stream) as telling:
            assert telling is None
    os.close(first)


class Reporter:
    """The terminal reporter of a session that is not there."""

    __module__ = "_pytest.terminal"
    hasmarkup = True
    width_of_current_line = 0
    _current_line = ""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.broken = False

    def ensure_newline(self) -> None:
        """Stand at the begin of a line."""

    def flush(self) -> None:
        """Hold nothing back."""

    def write_raw(self, msg: str, *, flush: bool = False) -> None:
        del flush
        self.lines.append(msg)

    def write_line(self, text: str, **_: bool) -> None:
        if self.broken:
            raise BrokenPipeError
        self.lines.append(text)


class Session:
    """A session's Shown on a clock of its own; `now` is the time."""

    def __init__(self, *, verbosity: int = 0, capture: str = "fd", terminal: Terminal | None = None) -> None:
        self.now, self.reporter = 100.0, Reporter()
        plugins = types.SimpleNamespace(get_plugin={"terminalreporter": self.reporter}.get, hasplugin=lambda _: False, register=lambda *_: None)
        config = types.SimpleNamespace(
            pluginmanager=plugins, get_verbosity=lambda: verbosity, getoption=lambda name, default: capture if name == "capture" else default,
            get_terminal_writer=lambda: self.reporter, option=types.SimpleNamespace(tx=["popen"] * 2),
        )  # fmt: skip
        self.shown = Shown(config, enabled=False, clock=lambda: self.now)
        self.shown._terminal = terminal


def test_plain_lines_come_after_ten_quiet_seconds_and_then_more_and_more_seldom():
    session = Session()
    shown, began, said = session.shown, session.now, []
    with shown.telling("t.py::a", "main", 1.0) as telling:
        telling.phase("sampling")
        for second in range(400):
            session.now = began + second
            telling.rounds(20, 1, lambda: types.SimpleNamespace(centre=1e-6, half_width=1e-8))
            if len(session.reporter.lines) > len(said):
                said.append(second)
    assert said == [10, 40, 100, 160, 220, 280, 340]
    assert session.reporter.lines[0] == "gpuperf: measuring t.py::a main: 20 samples in 1 round, 1.000 us ± 1.0 %, 10.0 of 1.0 s"


def test_what_pytest_prints_makes_a_plain_line_wait():
    session = Session()
    with session.shown.telling("t.py::a", "main") as telling:
        session.now += 9
        session.shown.pytest_runtest_logreport()
        session.now += 9
        telling.phase("compiling")
        assert not session.reporter.lines
        session.now += 1
        telling.phase("compiling")
    assert session.reporter.lines == ["gpuperf: compiling (first call) t.py::a main"]


def test_a_closed_output_fails_nothing():
    session = Session()
    session.reporter.broken = True
    session.now += 60
    with session.shown.telling("t.py::a") as telling:
        telling.phase("compiling")


@pytest.mark.parametrize(("how", "form"), [({}, "passing"), ({"capture": "no"}, "plain"), ({"verbosity": -1}, "none"), ({"verbosity": 1}, "passing")])
def test_where_progress_is_shown(how, form, monkeypatch):
    wire = Wire(80, monkeypatch)
    session = Session(terminal=wire.terminal, **how)
    assert session.shown.form == form
    with session.shown.telling("t.py::a") as telling:
        assert (telling is None) == (form == "none")
        if telling is not None:
            telling.phase("compiling")
            assert ("t.py::a" in wire.look()[0]) == (form == "passing")
    assert wire.look() == [""]
    wire.close()


def test_another_reporter_and_a_child_have_no_passing_line(monkeypatch):
    wire = Wire(80, monkeypatch)
    session = Session(terminal=wire.terminal)
    monkeypatch.setattr(Reporter, "__module__", "pytest_sugar")
    assert session.shown.form == "plain"
    session = Session()
    session.shown.config.pluginmanager.hasplugin = lambda name: name == "gpuperf-child"
    assert session.shown.form == "none"
    wire.close()


def test_ctrl_c_leaves_a_clean_line(monkeypatch):
    wire = Wire(80, monkeypatch)
    session = Session(terminal=wire.terminal)
    session.reporter._current_line = "test_it.py .."
    wire.screen.feed("test_it.py ..")

    def interrupted() -> None:
        with session.shown.telling("t.py::a") as telling:
            telling.phase("compiling")
            assert wire.look() == ["test_it.py .. compiling (first call) t.py::a"]
            wire.screen.feed("^C")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert wire.look() == ["test_it.py .."]
    wire.close()


def test_what_a_test_writes_past_pytest_stays(monkeypatch):
    wire = Wire(80, monkeypatch)
    session = Session(terminal=wire.terminal)
    session.reporter._current_line = "test_it.py .."
    wire.screen.feed("test_it.py ..by the test\nand more")
    for _ in range(3):
        with session.shown.telling("t.py::a") as telling:
            telling.phase("compiling")
            telling.phase("compiling")
    assert wire.look() == ["test_it.py ..by the test", "and more"]
    assert wire.screen.column == len("and more")
    wire.close()


def test_at_most_five_times_a_second(monkeypatch):
    wire = Wire(80, monkeypatch)
    session, asked = Session(terminal=wire.terminal), []
    with session.shown.telling("t.py::a", "main") as telling:
        for step in range(1, 1001):
            session.now = 100 + step / 1000
            telling.rounds(20, step, lambda: asked.append(1) or types.SimpleNamespace(centre=1e-6, half_width=1e-8))
    assert 4 <= len(asked) <= 5
    wire.close()


def test_nothing_is_drawn_in_a_debugger_nor_in_another_thread(monkeypatch):
    wire = Wire(80, monkeypatch)
    session = Session(terminal=wire.terminal)
    with session.shown.telling("t.py::a") as telling:
        telling.phase("compiling")
        assert wire.look() != [""]
        session.shown.say("waiting for the device, held by pid 7")
        assert wire.look() == [""]
        other = threading.Thread(target=telling.phase, args=("compiling",))
        other.start()
        other.join()
        assert wire.look() == [""]
        telling.phase("compiling")
        assert wire.look() != [""]
        # pytest's own line of the debugger comes first.
        wire.screen.feed("\n>>> PDB set_trace >>>\n")
        heard = wire.heard
        session.shown.pytest_enter_pdb()
        telling.phase("compiling")
    wire.look()
    assert wire.heard == heard, "nothing is written from here on"
    assert wire.look() == ["compiling (first call) t.py::a", ">>> PDB set_trace >>>", ""]
    assert wire.screen.column == 0
    wire.close()


def test_the_controller_of_xdist_shows_which_tests_are_at_work(monkeypatch):
    wire = Wire(80, monkeypatch)
    session = Session(terminal=wire.terminal)
    controller = Workers(session.shown)
    controller.pytest_runtest_logstart("t.py::a@gpu0")
    controller.pytest_runtest_logstart("t.py::b")
    assert wire.look() == ["xdist, longest at work: t.py::a: 2 of 2 workers"]
    session.reporter.write_raw(".")
    assert wire.look() == [""], "whatever pytest writes, the line goes first"
    session.now += 1
    controller.pytest_runtest_logreport(types.SimpleNamespace(when="teardown", nodeid="t.py::a@gpu0"))
    assert wire.look() == ["xdist, longest at work: t.py::b: 1 of 2 workers"]
    controller.pytest_sessionfinish()
    assert wire.look() == [""]
    assert getattr(session.reporter.write_raw, "__self__", None) is session.reporter, "pytest's own again"
    wire.close()


def test_ncu_tells_how_many_cases_are_done():
    told: list[tuple[int, int, str]] = []
    watch = Watch(1, 5, 10.0, lambda *one: told.append(one))
    watch.late(Story(ended={"t.py::a": ("passed", "")}, running="t.py::b"), 0.0)
    assert told == [(2, 5, "t.py::b")]


@pytest.mark.parametrize("pairs", [1, 3, 4, 9, 48])
def test_a_qualification_takes_as_many_pairs_as_it_says(pairs):
    here = sum(len(turn.slowdowns) for turn in turns(pairs, 0))
    kernels = [trial.Kernel(subject.name, {level.slowdown: 1 for level in LEVELS}, None) for subject in SUBJECTS]
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(trial, "pair", lambda *_: None)
        there = len(list(trial._there({one.name: one for one in kernels}, trial.Setting("cold", 1.0, pairs), lambda wanted, _: [None] * len(wanted))))
    assert planned(pairs) == here + there


def test_who_waits_for_the_compiler_hears_how_many_kernels_are_done(monkeypatch):
    monkeypatch.setattr(workers, "_TELL_SECONDS", 0.005)
    pool, told = workers.Pool(None), []

    def ask(task):
        time.sleep(0.02)
        return task

    monkeypatch.setattr(pool, "_worker", lambda: types.SimpleNamespace(hello={"missing": None}, ask=ask, close=lambda: 0))
    assert pool.run([{"number": number} for number in range(10)], workers=2, told=lambda *one: told.append(one)) == [{"number": number} for number in range(10)]
    assert told == sorted(told)
    assert {of for _, of in told} == {10}
    assert told[0][0] < 10 == told[-1][0]

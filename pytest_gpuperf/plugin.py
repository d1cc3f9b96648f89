"""pytest's hooks; what they do stands in state.py, which is imported when a session uses the plugin."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf.options import DEFAULT_ARCHS, OptionError, add_options, read_options, without_effect

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_gpuperf.child import Child
    from pytest_gpuperf.fixture import GpuPerf
    from pytest_gpuperf.state import State

#: Exit status of a session whose measuring or recording machinery broke; pytest itself uses 0 to 5.
EXIT_INFRASTRUCTURE = 8

_MARKER = (
    "gpuperf(time=..., bandwidth=..., tflops=..., host_time=..., wall_time=..., first_call=..., launches=..., kernels=..., memcpys=..., memsets=..., synchronizations=..., api_calls=..., api_time=..., busy_time=..., peak_memory=..., registers=..., spills=..., stack=..., shared=..., local=..., barriers=..., instructions=..., loads_128=..., loads_32=..., stores_128=..., fma=..., mufu=..., tensor=..., f64=..., occupancy=..., metrics=..., counters=..., of=None, gpu=False): limits such as '<= 12 us', "
    "'p99 <= 20 us', '>= 80 %' or '<= 1.3 x roof'; a list; or a dict from device glob to either. Hardware counters have "
    "limits by short names, as dram_write='<= 48 MB', or in metrics={'dram__bytes_write.sum': ...}; counters=[...] are collected and not judged. of= names a measurement; "
    "gpu=True makes the case UNMEASURED without a GPU before its fixtures run"
)
_OPTIONS = pytest.StashKey[Any]()
_STATE = pytest.StashKey["State"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add every row of OPTIONS."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the backend hook."""
    from pytest_gpuperf import hooks

    pluginmanager.add_hookspecs(hooks)
    if os.environ.get("GPUPERF_CHILD_TASK"):
        from pytest_gpuperf import child

        child.register(pluginmanager)


def pytest_configure(config: pytest.Config) -> None:
    """Read the options; a session with --gpuperf opens its journal now, so that an unwritable path is known in second 0."""
    config.addinivalue_line("markers", _MARKER)
    try:
        options = read_options(config)
    except OptionError as error:
        raise pytest.UsageError(str(error)) from None
    if options.kernels or options.archs != DEFAULT_ARCHS:
        from pytest_gpuperf.declaring import refuse_unknown_names

        refuse_unknown_names(options)
    if options.counters:
        from pytest_gpuperf.counters.names import refuse_unknown
        from pytest_gpuperf.errors import BadBudget

        try:
            refuse_unknown(options.counters, None, "gpuperf_counters")
        except BadBudget as error:
            raise pytest.UsageError(str(error)) from None
    if options.fail_on or options.base:
        from pytest_gpuperf import gating

        gating.prepare(config, options, lambda: _state(config))
    config.stash[_OPTIONS] = options
    if options.sanitize and not config.option.collectonly:
        from pytest_gpuperf import sanitizing

        sanitizing.register(config, options, lambda: _state(config))
    if options.enabled:
        from pytest_gpuperf import budget_files, budget_hooks

        budget_hooks.register(config, budget_files.opened(config, options), lambda: _state(config))
    if options.enabled and not config.option.collectonly:
        from pytest_gpuperf import parallel, seeding

        child = _child(config)
        seeding.register(config, options.seed, None if child is None else child.nodeid_of)
        state = _state(config)
        if child is None:
            parallel.open_recorder(state, EXIT_INFRASTRUCTURE)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Refuse, before anything is collected, a source of times that cannot be had: here, or by a qualification."""
    options = session.config.stash.get(_OPTIONS, None)
    if options is None or not options.enabled or options.clock == "device" or session.config.option.collectonly:
        return
    if options.qualify:
        message = f"--gpuperf-qualify measures with the device clock, which --gpuperf-clock={options.clock} does not ask for\nRun it with --gpuperf-clock=device."
        raise pytest.UsageError(message)
    if options.clock != "cupti":
        return
    backend = _state(session.config).runtime.backend
    why = "" if backend is None else backend.profiler.missing()
    if why:
        message = f"--gpuperf-clock=cupti: {why}\nInstall pytest-gpuperf[cupti] in the version of the CUDA libraries, or ask for another source."
        raise pytest.UsageError(message)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Where xdist is to hand the tests out: profile the cases that want hardware counters, before it starts its workers."""
    state = _active(session.config)
    if state is not None and getattr(session.config.option, "dist", "no") != "no":
        try:
            state.counting.before_workers(session)
        except KeyboardInterrupt:
            # pytest finishes no session that has not begun.
            state.finish(pytest.ExitCode.INTERRUPTED)
            raise


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Profile the cases that want hardware counters, before the first test."""
    state = _active(session.config)
    if state is not None and not session.config.option.collectonly:
        from pytest_gpuperf.declaring import plan

        plan(state, session.items)
        state.counting.before_tests(session)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """In a process that --gpuperf-qualify started for one measurement: take it, and do nothing else."""
    if not os.environ.get("GPUPERF_QUALIFY"):
        return None
    from pytest_gpuperf.qualifying import answer_instead

    return answer_instead(config)


def _state(config: pytest.Config) -> State:
    """Return the session's state, made at its first use."""
    if _STATE not in config.stash:
        from pytest_gpuperf import goldens
        from pytest_gpuperf.state import State

        child = _child(config)
        config.stash[_STATE] = State(config, config.stash[_OPTIONS]) if child is None else child.state(config, config.stash[_OPTIONS])
        if child is None:
            goldens.register(config, config.stash[_STATE])
    return config.stash[_STATE]


def _child(config: pytest.Config) -> Child | None:
    """Return the hooks of a child session; None in every other one."""
    return config.pluginmanager.get_plugin("gpuperf-child")


def _active(config: pytest.Config) -> State | None:
    """Return the state where this session has one: with --gpuperf, or once a test uses the fixture or its marker."""
    return config.stash.get(_STATE, None)


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Read the limits of every test as it is collected; a bad one is a collection error, in one line."""
    result = yield
    for index, item in enumerate(result if isinstance(result, list) else [result]):
        if not isinstance(item, pytest.Item):
            continue
        if "gpuperf" in getattr(item, "fixturenames", ()) or item.get_closest_marker("gpuperf") is not None:
            from pytest_gpuperf.errors import BadBudget
            from pytest_gpuperf.items import INDEX

            item.stash[INDEX] = index
            try:
                _state(collector.config).read_item(item)
            except BadBudget as error:
                message = f"BadBudget: {error}"
                raise collector.CollectError(message) from None
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    """Remember the budgets of tests that somebody takes out of the list without a word."""
    before = list(items)
    yield
    state = _active(config)
    if state is not None:
        state.taken_out(before, items)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Remember the budgets of what was deselected."""
    state = _active(items[0].config) if items else None
    if state is not None:
        state.drop(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write down which budgets are to be accounted for."""
    from pytest_gpuperf.errors import BadBudget

    state = _active(session.config)
    try:
        if state is not None:
            state.collected(session.items)
    except BadBudget as error:
        message = f"BadBudget: {error}"
        raise pytest.UsageError(message) from None


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what is measured on; without --gpuperf nothing, or which options need it."""
    state = _active(config)
    if state is None or not state.options.enabled:
        idle = without_effect(config)
        return f"gpuperf: {', '.join(idle)}: no effect without --gpuperf" if idle else None
    from pytest_gpuperf.report.header import header

    return header(state.runtime.backend, state.runtime.why, state.options)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start a case; before its fixtures touch CUDA it may end here for want of a GPU."""
    state = _active(item.config)
    if state is not None:
        state.begin(item)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Judge all budgets after the body, together."""
    __tracebackhide__ = True
    state = _active(pyfuncitem.config)
    if state is None:
        return (yield)
    from pytest_gpuperf.declaring import watching
    from pytest_gpuperf.running import ending

    result: Any = True
    with state.judging(pyfuncitem), watching(state, pyfuncitem), ending(pyfuncitem):
        result = yield
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give reports their verdicts; write the case down after its last phase."""
    state = _active(item.config)
    if state is not None and call.excinfo is not None and not item.config.getoption("fulltrace", default=False):
        from pytest_gpuperf.case import hide_frames

        hide_frames(call.excinfo)
    report = yield
    state = _active(item.config)
    if state is not None:
        state.report(item, call, report)
    return report


def pytest_enter_pdb(config: pytest.Config) -> None:
    """Let somebody who debugs a case take all the time."""
    state = _active(config)
    if state is not None:
        state.faults.disarm()


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: Any) -> tuple[str, str, Any] | None:
    """Give UNMEASURED and INCONCLUSIVE categories of their own; nothing that a simulator passed is a bare PASSED."""
    verdict = getattr(report, "gpuperf_verdict", None)
    if verdict is None or report.failed or (report.when == "call" and report.skipped):
        return None
    if verdict in {"UNMEASURED", "INCONCLUSIVE"}:
        return verdict.lower(), verdict[0], (verdict, {"yellow": True})
    if verdict == "PASS" and getattr(report, "gpuperf_simulator", False):
        return "passed", ".", ("PASSED (simulator)", {"green": True})
    return None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Qualify, if asked to; write run file and page; infrastructure trouble has its own exit status."""
    state = _active(session.config)
    if state is None:
        return
    if state.options.qualify:
        from pytest_gpuperf.qualifying import qualify_session

        qualify_session(state, session)
    state.finish(session.exitstatus)
    if state.gate.failed and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if state.trouble and session.exitstatus in {0, 1}:
        session.exitstatus = EXIT_INFRASTRUCTURE


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print failures, the nearest limits and the account; nothing without --gpuperf."""
    state = _active(config)
    if state is None or state.run is None:
        return
    from pytest_gpuperf.report.terminal import summary_lines

    terminalreporter.section("gpuperf", cyan=True)
    for text, markup in summary_lines(state.run, config.get_verbosity()):
        terminalreporter.write_line(text, **markup)
    state.gate.write(terminalreporter, config.get_verbosity())
    for text in state.trouble:
        terminalreporter.write_line(f"gpuperf: {text}", red=True)
    written = {} if state.recorder is None else state.recorder.written
    for name in ("run file", "page"):
        if name in written:
            terminalreporter.write_line(f"{name}: {_relative(written[name], config)}")


def _relative(path: Any, config: pytest.Config) -> str:
    try:
        return str(path.relative_to(config.invocation_params.dir))
    except ValueError:
        return str(path)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the run's seed and id to an xdist worker, so that it draws as the others and its journal lies beside theirs."""
    node.workerinput["gpuperf_seed"] = node.config.stash[_OPTIONS].seed
    state = _active(node.config)
    if state is not None and state.recorder is not None:
        node.workerinput["gpuperf_run"] = state.recorder.run_id


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear what golden files a worker has used and written."""
    if (told := getattr(node, "workeroutput", {}).get("gpuperf_golden")) is not None:
        from pytest_gpuperf import goldens

        goldens.register(node.config).hear(told)


@pytest.fixture
def gpuperf(request: pytest.FixtureRequest) -> GpuPerf:
    """Measure GPU bodies and check their results; see pytest_gpuperf.GpuPerf for its verbs."""
    from pytest_gpuperf.state import fixture_object

    return fixture_object(_state(request.config), request.node)

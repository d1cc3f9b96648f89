"""`--gpuperf-qualify`: when a session qualifies, on which device, and what that means for its exit status."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf.qualify import processes, trial
from pytest_gpuperf.reasons import FAIL, Reason
from pytest_gpuperf.timing.telling import begin

if TYPE_CHECKING:
    from pytest_gpuperf.state import State

#: A session that collected nothing has done what it was asked for, if it was asked to qualify; one that was interrupted does not go on.
_GOES_ON = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)


def qualify_session(state: State, session: pytest.Session) -> None:
    """Qualify after the tests of a session, in its main process, and write the record into its journal.

    A broken promise fails the session, and so does a qualification that could not be measured where --gpuperf-strict lets such cases fail.
    One that was interrupted ends the session as any interrupt does.
    """
    options = state.options
    if not options.qualify or state.recorder is None or state.worker != "main" or session.exitstatus not in _GOES_ON:
        return
    setting = trial.Setting(options.cache, options.limit, options.pairs)
    try:
        record = _qualified(state, setting)
    except KeyboardInterrupt:
        record = trial.unmeasured(trial.INTERRUPTED, setting)
    except Exception as error:  # noqa: BLE001  (whatever broke it, the records of the tests before it must be written)
        state.trouble.append(f"--gpuperf-qualify: {type(error).__name__}: {error}")
        return
    state.recorder.journal.append("qualification", qualification=record)
    broken = any(promise["verdict"] == FAIL for promise in record["promises"]) or (record["reason"] is not None and options.strict in {"unmeasured", "all"})
    if record["reason"] is not None and record["reason"]["code"] == trial.INTERRUPTED.code:
        # Whoever waits for this session must not take what was not done for a pass.
        session.exitstatus = pytest.ExitCode.INTERRUPTED
    elif broken:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    elif session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


def _qualified(state: State, setting: trial.Setting) -> dict[str, Any]:
    runtime = state.runtime
    if runtime.hole is not None:
        return trial.unmeasured(runtime.hole, setting)
    assert state.recorder is not None
    with runtime.locked("--gpuperf-qualify"):
        tools = runtime.instruments(0)
        if runtime.foreign:
            return trial.unmeasured(Reason("foreign-load", runtime.foreign), setting)
        invocation = state.config.invocation_params
        calibration = runtime.shared_path("calibration")
        assert calibration is not None
        others = processes.Processes(
            [str(one) for one in invocation.args], state.recorder.folder, calibration, invocation.dir, tools.backend.facts.uuid, setting.cache, setting.limit
        )
        with state.shown.telling() as telling:
            begin(telling, "qualifying")
            return trial.qualify(tools, setting, others.measure, state.say, None if telling is None else telling.count)


def answer_instead(config: pytest.Config) -> int | None:
    """In a process that was started for a measurement: take it, answer, and return the exit status; None in every other one."""
    path = os.environ.get(processes.ENVIRONMENT)
    if not path:
        return None
    from pytest_gpuperf.device.discovery import open_backend

    backend = config.hook.pytest_gpuperf_backend(config=config) or open_backend()
    if isinstance(backend, Reason):
        print(backend)  # noqa: T201 - what the session that started this process shows of it
        return 1
    processes.answer(processes.read_task(path), backend)
    return 0

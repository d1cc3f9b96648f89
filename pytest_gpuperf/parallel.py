"""xdist: one run of several processes, one journal each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gpuperf import ci, terminating
from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.recorder import Recorder, new_run_id

if TYPE_CHECKING:
    from pytest_gpuperf.state import State


def open_recorder(state: State, exit_status: int) -> None:
    """Open this process's journal: under the run's id where a controller gave one, else under a new one.

    Ends the session at once, in one line and with its own exit status, where a path of it cannot be written.
    """
    config = state.config
    handed = getattr(config, "workerinput", {})
    try:
        run_id = handed.get("gpuperf_run") or new_run_id(state.options.runs)
        state.recorder = Recorder(state.options, config.rootpath, run_id, state.worker, ["pytest", *config.invocation_params.args], state.trouble.append)
    except RunFileError as error:
        pytest.exit(f"gpuperf: {error}", returncode=exit_status)
    ci.register(state)
    if state.worker == "main":
        terminating.watch(state)



"""SIGTERM in the middle of a session: it ends as by Ctrl-C, with run file, page and one line, and then by that signal."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_gpuperf.state import State


def watch(state: State) -> None:
    """Let SIGTERM interrupt the session of this process: what ends a job must not cost what it has measured.

    Only where nobody else handles it. A second one ends the process at once, as the first does without this plugin.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    came: list[int] = []

    def interrupt(number: int, _frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        came.append(number)
        state.trouble.append("ended by SIGTERM; what was measured by then is in the run file")
        raise KeyboardInterrupt

    def put_back() -> None:
        if signal.getsignal(signal.SIGTERM) is interrupt:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if came:
            # Whoever sent it waits for a process that it has ended.
            sys.stdout.flush()
            sys.stderr.flush()
            os.kill(os.getpid(), came[0])

    signal.signal(signal.SIGTERM, interrupt)
    state.config.add_cleanup(put_back)

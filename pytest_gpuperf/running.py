"""One case while pytest runs it."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, NoReturn

import pytest

from pytest_gpuperf.checks import end_checks
from pytest_gpuperf.errors import Inconclusive, NotIdentical, Unmeasured
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.recorder import now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gpuperf.case import Case


class Running:
    """One case while pytest runs it: the case itself, and what pytest said of its phases."""

    def __init__(self, case: Case) -> None:
        """Begin."""
        self.case = case
        self.started = now()
        self.began = time.perf_counter()
        self.outcome = "passed"
        self.error: str | None = None
        self.body_failed = False
        self.written = False
        self.unmeasured_setup: Reason | None = None
        self.skipping: BaseException | None = None
        self.strict: BaseException | None = None

    def skip(self, why: str) -> NoReturn:
        """End the test as skipped, by this plugin."""
        self.skipping = pytest.skip.Exception(why)
        raise self.skipping


CASE = pytest.StashKey[Running]()


@contextlib.contextmanager
def ending(item: pytest.Item) -> Iterator[None]:
    """Look, after the body, at what it was given to be looked at; a body's own error comes first, what could not be decided after."""
    __tracebackhide__ = True
    try:
        yield
    except (Inconclusive, Unmeasured):
        found = _found(item, whole=False)
        if found is not None:
            item.stash[CASE].case.raised = found
            raise found from None
        raise
    except BaseException as error:
        found = _found(item, whole=False)
        if found is not None:
            error.add_note(f"and its guarded arrays: {found}")
        raise
    found = _found(item, whole=True)
    if found is not None:
        # No line of the test is to blame, so none is shown.
        item.stash[CASE].case.raised = found
        raise found


def _found(item: pytest.Item, *, whole: bool) -> NotIdentical | None:
    running = item.stash.get(CASE, None)
    if running is None or not running.case.guards:
        return None
    try:
        return end_checks(running.case, whole=whole)
    except Exception:
        if whole:
            raise
        # After a body that failed, perhaps with the device, its own error is the one to read.
        return None


def ended_by(body: BaseException | None, case: Case) -> Reason | None:
    """Say why a body did not reach its end; None where it did."""
    if isinstance(body, pytest.skip.Exception):
        return Reason("skipped")
    return Reason("body-failed") if body is not None or case.undecideds else None

"""One case while pytest runs it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NoReturn

import pytest

from pytest_gpuperf.recorder import now

if TYPE_CHECKING:
    from pytest_gpuperf.case import Case
    from pytest_gpuperf.reasons import Reason


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

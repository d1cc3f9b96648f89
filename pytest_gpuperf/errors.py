"""Every error that the plugin raises; the first line of each is the whole story."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gpuperf.reasons import Reason


class GpuPerfError(Exception):
    """Base of every error of this plugin."""


class BudgetExceeded(GpuPerfError, AssertionError):
    """A measured quantity is outside its budget: the whole interval, not a sample of it."""


class NotIdentical(GpuPerfError, AssertionError):
    """Two arrays, or two calls of one body, do not hold the same bits."""


class NotClose(GpuPerfError, AssertionError):
    """An output is further from its reference than allowed, or is constant where the reference is not."""


class NotClean(GpuPerfError, AssertionError):
    """compute-sanitizer found something wrong in the kernels of a case; names kernel, address and source line."""


class BadBudget(GpuPerfError, ValueError):
    """A budget that cannot be read or judged; names the nearest valid spelling."""


class Undeclared(GpuPerfError, AssertionError):
    """A declared kernel was launched with argument types that no KERNELS row has, as a float64 that nobody asked for."""


class NotCapturable(GpuPerfError):
    """A body that cannot be captured into a graph; says what forbade it, by its CUDA name, and the next step."""


class NoSource(GpuPerfError):
    """A source of times that was asked for and cannot be had; names the cause. Another source never stands in for it."""


class RunFileError(GpuPerfError):
    """A run file or journal that cannot be read or written; names the file and the cause."""


class TraceError(GpuPerfError):
    """A trace of another tool that cannot be read, or a range that it does not have; names the file and the nearest."""


class ReportError(GpuPerfError):
    """A report of Nsight Compute that cannot be read; names the file and the cause."""


class StaticError(GpuPerfError):
    """A kernel that cannot be compiled without a GPU, or cannot be asked for; names kernel, architecture and cause."""


class _Undecided(GpuPerfError):
    """Common part of the two errors that end a case without a verdict of PASS or FAIL."""

    def __init__(self, reason: Reason, subject: str = "") -> None:
        self.reason = reason
        self.subject = subject
        super().__init__(f"{subject}: {reason}" if subject else str(reason))


class Inconclusive(_Undecided):
    """Measured, but the evidence cannot decide; carries its Reason."""


class Unmeasured(_Undecided):
    """Could not be measured; carries its Reason."""

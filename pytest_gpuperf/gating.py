"""`--gpuperf-compare` and `--gpuperf-fail-on`: a session's run held against a reference, once it is whole."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_gpuperf.options import Config
    from pytest_gpuperf.reference.compared import Comparison
    from pytest_gpuperf.state import State


@dataclasses.dataclass(frozen=True, slots=True)
class Gated:
    """What came of the comparison: nothing where none was asked for, `said` where something is to be said instead of it or before it."""

    comparison: Comparison | None = None
    failed: bool = False
    said: str = ""

    def write(self, reporter: Any, verbosity: int) -> None:
        """Print the comparison on the terminal."""
        if self.said:
            reporter.write_line(f"gpuperf: --gpuperf-compare: {self.said}", yellow=True)
        if self.comparison is not None:
            from pytest_gpuperf.reference.told import lines

            reporter.section("gpuperf: compared", sep="-", cyan=True)
            for text, markup in lines(self.comparison, verbosity):
                reporter.write_line(text, **markup)


def refuse_bad_limits(config: pytest.Config, options: Config) -> None:
    """End the session, in one line, where --gpuperf-fail-on cannot be read, or was typed without anything to compare with."""
    from pytest_gpuperf.errors import BadBudget
    from pytest_gpuperf.reference.limits import read_limits

    typed = bool(config.getoption("gpuperf_fail_on", None))
    try:
        read_limits(options.fail_on, "--gpuperf-fail-on" if typed else "ini gpuperf_fail_on")
    except BadBudget as error:
        raise pytest.UsageError(str(error)) from None
    # In the ini file it is a standing rule for those runs that compare.
    if typed and not options.compare:
        message = "--gpuperf-fail-on: there is nothing to compare with\nName the run before with --gpuperf-compare, as --gpuperf-compare=last."
        raise pytest.UsageError(message)


def held_against(state: State) -> Gated:
    """Hold the whole run of a session against the reference; a reference that went away meanwhile is trouble, and no pass."""
    options, run = state.options, state.run
    # A session under a sanitizer measures nothing.
    if not options.compare or run is None or options.sanitize:
        return Gated()
    from pytest_gpuperf.errors import RunFileError
    from pytest_gpuperf.reference.compared import compare
    from pytest_gpuperf.reference.find import find
    from pytest_gpuperf.reference.limits import read_limits

    try:
        reference, said = find(options.compare, options.history or options.runs, run)
    except RunFileError as error:
        state.trouble.append(str(error))
        return Gated()
    if reference is None:
        return Gated(said=said)
    comparison = compare(run, reference, read_limits(options.fail_on) if options.fail_on else ())
    failed = comparison.failed(options.strict)
    if failed and run["run"]["exit_status"] == pytest.ExitCode.OK:
        # The journal was closed before this was known.
        run["run"]["exit_status"] = int(pytest.ExitCode.TESTS_FAILED)
    return Gated(comparison, failed, said)

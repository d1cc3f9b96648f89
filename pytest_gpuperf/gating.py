"""`--gpuperf-compare`, `--gpuperf-base` and `--gpuperf-fail-on`: a session's run held against a reference and its base, once it is whole."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.options import Config
    from pytest_gpuperf.reference.compared import Comparison
    from pytest_gpuperf.state import State


@dataclasses.dataclass(frozen=True, slots=True)
class Gated:
    """What came of the comparison: nothing where none was asked for, `said` where something is to be said instead of it or before it; `base` is of --gpuperf-base."""

    comparison: Comparison | None = None
    failed: bool = False
    said: str = ""
    base: Comparison | None = None

    def write(self, reporter: Any, verbosity: int) -> None:
        """Print the comparison on the terminal."""
        if self.said:
            reporter.write_line(f"gpuperf: --gpuperf-compare: {self.said}", yellow=True)
        for one, title in ((self.base, "base"), (self.comparison, "compared")):
            if one is None:
                continue
            from pytest_gpuperf.reference.told import lines

            reporter.section(f"gpuperf: {title}", sep="-", cyan=True)
            for text, markup in lines(one, verbosity):
                reporter.write_line(text, **markup)


def prepare(config: pytest.Config, options: Config, state: Callable[[], State]) -> None:
    """Refuse limits that cannot be read and a base that cannot be had, in one line; let a session that measures take turns with its base."""
    typed = [flag for flag, name in (("--gpuperf-fail-on", "gpuperf_fail_on"), ("--gpuperf-base", "gpuperf_base")) if config.getoption(name, None)]
    if typed and not options.enabled:
        # With -q not even the header would say that this gate lets everything through.
        message = f"{typed[0]}: nothing is measured without --gpuperf: add it"
        raise pytest.UsageError(message)
    if options.fail_on:
        refuse_bad_limits(config, options)
    if options.base and options.enabled and not config.option.collectonly:
        from pytest_gpuperf.base import session

        session.register(config, options, state)


def refuse_bad_limits(config: pytest.Config, options: Config) -> None:
    """End the session, in one line, where --gpuperf-fail-on cannot be read, or was typed without anything to compare with."""
    from pytest_gpuperf.errors import BadBudget
    from pytest_gpuperf.reference.based import QUANTITIES
    from pytest_gpuperf.reference.limits import read_limits

    typed = bool(config.getoption("gpuperf_fail_on", None))
    try:
        limits = read_limits(options.fail_on, "--gpuperf-fail-on" if typed else "ini gpuperf_fail_on")
    except BadBudget as error:
        raise pytest.UsageError(str(error)) from None
    # In the ini file it is a standing rule for those runs that compare.
    if typed and not options.compare and not options.base:
        message = "--gpuperf-fail-on: there is nothing to compare with\nName the run before with --gpuperf-compare, as --gpuperf-compare=last."
        raise pytest.UsageError(message)
    other = next((limit.text for limit in limits if limit.name not in QUANTITIES), None)
    if typed and not options.compare and other is not None:
        message = f"--gpuperf-fail-on: {other}: --gpuperf-base takes {' and '.join(QUANTITIES)} in turns\nHold other quantities against a run, with --gpuperf-compare."
        raise pytest.UsageError(message)


def held_against(state: State) -> Gated:
    """Hold the whole run of a session against its base and the reference; a limit on changes that is exceeded fails it."""
    run = state.run
    # A session under a sanitizer measures nothing.
    if run is None or state.options.sanitize:
        return Gated()
    from pytest_gpuperf.reference.based import held_to_base

    gated = _held_against(state, run) if state.options.compare else Gated()
    base = held_to_base(run)
    exceeded = [text for one in (gated.comparison, base) if one is not None for text in one.failing(state.options.strict)]
    failed = bool(exceeded)
    if failed:
        # `last` must not take it for what later runs are to be held against: a second try would pass.
        run["run"]["exceeded"] = list(dict.fromkeys(exceeded))
    if failed and run["run"]["exit_status"] == pytest.ExitCode.OK:
        # The journal was closed before this was known.
        run["run"]["exit_status"] = int(pytest.ExitCode.TESTS_FAILED)
    return dataclasses.replace(gated, failed=failed, base=base)


def _held_against(state: State, run: dict[str, Any]) -> Gated:
    """Hold a run against the reference; one that went away meanwhile is trouble, and no pass."""
    options = state.options
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
    return Gated(comparison, comparison.failed(options.strict), said)

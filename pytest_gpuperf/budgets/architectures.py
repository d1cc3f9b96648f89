"""Which limit on machine code counts on which architecture: its globs are of architectures as well as of devices."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from pytest_gpuperf.budgets.collect import LEVELS, device_matches, literal_characters
from pytest_gpuperf.errors import BadBudget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gpuperf.budgets.collect import Budget


def names_architecture(glob: str) -> bool:
    """Say whether a glob is meant for architectures.

    >>> names_architecture("sm_90"), names_architecture("sm_*"), names_architecture("H200*"), names_architecture("*")
    (True, True, False, False)
    """
    return glob.casefold().startswith("sm_")


def glob_matches(glob: str, arch: str, device: str | None) -> bool:
    """Say whether a glob matches an architecture, as "sm_90", or the device that the code is compiled for.

    >>> glob_matches("sm_9*", "sm_90", None), glob_matches("H200*", "sm_90", None), glob_matches("H200*", "sm_90", "NVIDIA H200"), glob_matches("*", "sm_80", None)
    (True, False, True, True)
    """
    if names_architecture(glob):
        return fnmatch.fnmatchcase(arch.casefold(), glob.casefold())
    return glob == "*" or (device is not None and device_matches(glob, device))


def for_arch(budgets: Sequence[Budget], arch: str, device: str | None) -> list[Budget]:
    """Choose, of limits on one quantity of one measurement, those that count on an architecture; BadBudget where two globs say equally much.

    The nearest level with a glob that matches wins, within it the glob with the most literal characters. Levels that LEVELS does not have, as those of a
    file, come behind it, in their order.
    """
    origins = [*LEVELS, *(one.origin for one in budgets)]
    matching = [one for one in budgets if glob_matches(one.glob, arch, device)]
    if not matching:
        return []
    nearest = min(origins.index(one.origin) for one in matching)
    level = [one for one in matching if origins.index(one.origin) == nearest]
    globs = sorted({one.glob for one in level}, key=literal_characters, reverse=True)
    if len(globs) > 1 and literal_characters(globs[0]) == literal_characters(globs[1]):
        message = f"{level[0].limit.quantity}: globs {globs[0]!r} and {globs[1]!r} both match {arch!r} and say equally much"
        raise BadBudget(message)
    return [one for one in level if one.glob == globs[0]]

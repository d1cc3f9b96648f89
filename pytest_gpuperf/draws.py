"""Inputs of checks: generators of a case, each draw a new one, and the option that draws them again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.seeds import derived

if TYPE_CHECKING:
    from pytest_gpuperf.case import Case
    from pytest_gpuperf.options import Config


def generator(config: Config, case: Case, name: str, torch: Any) -> Any:
    """Return the next generator of a case: NumPy's, or torch's on the device that `torch` names.

    Its seed is of the run's (0 where that is off), the case, the name and how many of that name the case has drawn before, so that no two checks
    of a session have the same inputs, and a child session has those of its parent.
    """
    count = case.drawn.get(name, 0)
    case.drawn[name] = count + 1
    seed = derived(config.seed or 0, "rng", case.nodeid, name, count)
    if torch is None:
        import numpy as np

        return np.random.default_rng(seed)
    library: Any = sys.modules.get("torch")
    if library is None:
        message = f"rng(torch={torch!r}): torch is not loaded"
        raise ValueError(message)
    made = library.Generator(device=torch)
    made.manual_seed(seed)
    return made


def with_seed(text: str, config: Config, case: Case) -> str:
    r"""Return the text of a failed check with the option that draws its inputs again, at the end of its first line.

    It says so where the case drew from `rng`, or where the run has a seed other than that of every run.

    >>> from pytest_gpuperf.budgets.collect import Marks
    >>> from pytest_gpuperf.case import Case
    >>> from pytest_gpuperf.options import Config
    >>> with_seed("bits differ: 1 of 2 elements\nonly in the sign of zero", Config(seed=7), Case("test_x", Marks(), None))
    'bits differ: 1 of 2 elements (inputs: --gpuperf-seed=7)\nonly in the sign of zero'
    """
    if not case.drawn and not config.seed:
        return text
    first, line, rest = text.partition("\n")
    return f"{first} (inputs: --gpuperf-seed={config.seed or 0}){line}{rest}"

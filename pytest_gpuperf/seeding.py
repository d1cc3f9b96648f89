"""Seeds: what a case draws depends on the run's seed and on the case, and not on which other cases ran before it."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf.items import is_case
from pytest_gpuperf.records.keys import bare_nodeid
from pytest_gpuperf.seeds import derived

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


@dataclasses.dataclass(frozen=True, slots=True)
class Generated:
    """One row of GENERATORS: a module whose global generator is seeded, how, and how its state is taken and put back (or seeded, where it was none)."""

    module: str
    seed: Callable[[Any, int], object]
    state: Callable[[Any], Any]
    restore: Callable[[Any, Any, int], object]


def _torch_state(torch: Any) -> Any:
    """Return the states of torch's generators; those of CUDA are None where it has no context yet."""
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None


def _restore_torch(torch: Any, state: Any, last: int) -> None:
    cpu, cuda = state
    torch.set_rng_state(cpu)
    if cuda is None:
        # Without a context nothing had drawn: a new one begins as the last seeding would have left it.
        torch.cuda.manual_seed_all(last)
        return
    with contextlib.suppress(RuntimeError):  # that the fixture lost the context is not for us to tell
        torch.cuda.set_rng_state_all(cuda)


#: What is seeded, where it is loaded. CUDA generators of torch are `manual_seed`'s too; their state is looked at only where there is a context.
GENERATORS: tuple[Generated, ...] = (
    Generated("random", lambda module, seed: module.seed(seed), lambda module: module.getstate(), lambda module, state, _: module.setstate(state)),
    Generated(
        "numpy", lambda module, seed: module.random.seed(seed % 2**32), lambda module: module.random.get_state(),
        lambda module, state, _: module.random.set_state(state),
    ),
    Generated("torch", lambda module, seed: module.manual_seed(seed), _torch_state, _restore_torch),
)  # fmt: skip


class Seeding:
    """The hooks that seed: before a case's set-up, before each fixture that outlives one test, and again before the call."""

    def __init__(self, seed: int, nodeid_of: Callable[[pytest.Item], str] | None = None) -> None:
        """Keep the run's seed; `nodeid_of` gives the node id that a case has in the parent session."""
        # A body that is the first to import NumPy would draw from a generator that the operating system seeds.
        import numpy  # noqa: F401, ICN001

        self.seed = seed
        self._nodeid_of = nodeid_of or (lambda item: bare_nodeid(item.nodeid))
        self._last = seed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Seed what the fixtures of a case draw."""
        self._seed_case(item, "setup")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Seed what the body of a case draws."""
        self._seed_case(item, "call")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Generator[None, Any, Any]:
        """Seed a fixture that outlives one test by what it is, whoever asks first; then go on as if it had drawn nothing."""
        if request.scope == "function":
            return (yield)
        before = {row.module: row.state(module) for row, module in _loaded()}
        index = getattr(request, "param_index", 0)
        seed_all(derived(self.seed, "fixture", fixturedef.baseid, fixturedef.argname, index))
        try:
            return (yield)
        finally:
            for row, module in _loaded():
                if row.module in before:
                    row.restore(module, before[row.module], self._last)
                else:
                    row.seed(module, self._last)

    def _seed_case(self, item: pytest.Item, stage: str) -> None:
        if is_case(item):
            self._last = derived(self.seed, stage, self._nodeid_of(item))
            seed_all(self._last)


def seed_all(seed: int) -> None:
    """Seed the global generators of all that is loaded."""
    for row, module in _loaded():
        row.seed(module, seed)


def _loaded() -> list[tuple[Generated, Any]]:
    """Return the rows whose module is loaded, to its end."""
    return [(row, sys.modules[row.module]) for row in GENERATORS if hasattr(sys.modules.get(row.module), "random")]


def register(config: pytest.Config, seed: int | None, nodeid_of: Callable[[pytest.Item], str] | None) -> None:
    """Let a session seed its cases; not at all where the seed is off."""
    if seed is not None:
        config.pluginmanager.register(Seeding(seed, nodeid_of), "gpuperf-seeding")

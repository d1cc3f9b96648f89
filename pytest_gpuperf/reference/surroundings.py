"""FACTS: what surrounds a measurement, and what a change of it moves. Pure functions on records."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Record = dict[str, Any]

#: What a change of the surroundings can move: times and counters of the device, what the compiler makes, times of the host.
DEVICE, CODE, HOST = "device", "code", "host"


@dataclasses.dataclass(frozen=True, slots=True)
class Fact:
    """One row of FACTS: its name, where a run or its device has it, and what moves with it; a fact that moves nothing is only told."""

    name: str
    of: Callable[[Record, Record], Any]
    moves: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two surroundings differ."""

    what: str
    here: str
    there: str
    moves: tuple[str, ...] = ()

    def __str__(self) -> str:
        """From what to what."""
        return f"{self.what} {self.there} -> {self.here}"


#: Each takes (run, device).
FACTS: tuple[Fact, ...] = (
    Fact("device", lambda _, device: device.get("name"), (DEVICE, CODE, HOST)),
    # Another card is nearly always another machine, whose host is another one too; cards of one model are a per cent or two apart.
    Fact("card", lambda _, device: device.get("uuid"), (HOST,)),
    Fact("driver", lambda _, device: device.get("driver"), (DEVICE, HOST)),
    Fact("CUDA of the driver", lambda _, device: device.get("cuda"), (DEVICE, HOST)),
    Fact("SM clock", lambda _, device: device.get("sm_clock"), (DEVICE,)),
    Fact("simulator", lambda run, _: run.get("simulator"), (DEVICE, CODE, HOST)),
    Fact("python", lambda run, _: run.get("python"), (HOST,)),
    Fact("platform", lambda run, _: run.get("platform"), (HOST,)),
    Fact("seed", lambda run, _: run.get("seed")),
)

_COMPILES = (DEVICE, CODE, HOST)
#: By package: what moves with its version. One that is not here is only told.
PACKAGES: dict[str, tuple[str, ...]] = {
    "numba": _COMPILES,
    "numba-cuda": _COMPILES,
    "llvmlite": _COMPILES,
    "torch": _COMPILES,
    "triton": _COMPILES,
    "cupy": _COMPILES,
    "cupy-cuda12x": _COMPILES,
    "cupy-cuda13x": _COMPILES,
    "cuda-toolkit": _COMPILES,
    "nvidia-nvvm": _COMPILES,
    "nvidia-nvjitlink": _COMPILES,
    "nvidia-cuda-nvrtc": _COMPILES,
    "pytest-gpuperf": (DEVICE, HOST),
    "cuda-bindings": (HOST,),
    "cuda-core": (HOST,),
    "nvidia-cuda-runtime": (HOST,),
    "numpy": (HOST,),
    "ml-dtypes": (HOST,),
}


def differences(here: Record, there: Record, device: Record | None = None, other: Record | None = None) -> list[Difference]:
    """Return in what two runs differ on a device and its counterpart; what either of them does not know is no difference.

    >>> one, two = ({"run": {"python": "3.12", "packages": {"numba-cuda": version}}} for version in ("0.30.4", "0.31.0"))
    >>> [str(found) for found in differences(two, one, {"driver": "580.1"}, {"driver": "575.5"})]
    ['driver 575.5 -> 580.1', 'numba-cuda 0.30.4 -> 0.31.0']
    """
    return list(_differences(here["run"], there["run"], device or {}, other or {}))


def _differences(here: Record, there: Record, device: Record, other: Record) -> Iterator[Difference]:
    for fact in FACTS:
        now, then = fact.of(here, device), fact.of(there, other)
        if now is not None and then is not None and now != then:
            yield Difference(fact.name, _text(now), _text(then), fact.moves)
    now, then = here.get("packages") or {}, there.get("packages") or {}
    for name in sorted({*now, *then}):
        if now.get(name) != then.get(name):
            moves = PACKAGES.get(name, ())
            # A package that only one of the two environments has is no other version of it.
            yield Difference(visible(name), _text(now.get(name, "none")), _text(then.get(name, "none")), moves if name in now and name in then else ())


def changed(before: Record, after: Record) -> str:
    """Write what moves anything between two of `snapshot`; empty where nothing does.

    >>> changed({"driver": "575.5", "numba": "0.68"}, {"driver": "580.1", "numba": "0.68"})
    'driver 575.5 -> 580.1'
    """
    names = [name for name in {**before, **after} if before.get(name) is not None and after.get(name) is not None and before[name] != after[name]]
    return "; ".join(f"{name} {before[name]} -> {after[name]}" for name in names)


def snapshot(run: Record, device: Record | None) -> dict[str, str]:
    """Return what surrounds the measurements of a run on a device, as text by name: only what moves something."""
    told = {fact.name: fact.of(run["run"], device or {}) for fact in FACTS if fact.moves}
    told |= {name: version for name, version in (run["run"].get("packages") or {}).items() if PACKAGES.get(name)}
    return {name: _text(value) for name, value in told.items() if value is not None}


def _text(value: Any) -> str:
    return visible({True: "on", False: "off"}[value] if isinstance(value, bool) else str(value))

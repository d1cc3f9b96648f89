"""COUNTED: the quantities of a profiled pass, and the Values that its records make of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf import stats
from pytest_gpuperf.metrics import metric
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.device.profiler import Records
    from pytest_gpuperf.timing.profile import Profile
    from pytest_gpuperf.values import Listener

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

#: CUPTI's time stamps lie on this grid.
_TICK = 32e-9


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """One row of COUNTED: a row of METRICS, and what one call's records say of it."""

    name: str
    of: Callable[[Records], Any]


COUNTED: tuple[Counted, ...] = (
    Counted("launches", lambda records: len(records.of("kernel"))),
    Counted("kernels", lambda records: len({one.name for one in records.of("kernel")})),
    Counted("memcpys", lambda records: len(records.of("memcpy"))),
    Counted("memsets", lambda records: len(records.of("memset"))),
    Counted("synchronizations", lambda records: len(records.waits)),
    Counted("api_calls", lambda records: len(records.calls)),
    Counted("api_time", lambda records: sum(one.end - one.start for one in records.calls)),
    Counted("busy_time", lambda records: records.busy),
)
_OF = {row.name: row.of for row in COUNTED}
#: Every quantity that a profiled pass brings.
PROFILED = (*_OF, "peak_memory")


def value_of(name: str, profile: Profile, listener: Listener | None) -> Value:
    """Return one quantity of PROFILED: a count that all calls agree on, or an interval over them."""
    row = metric(name)
    assert row is not None
    if name == "peak_memory":
        memory = profile.memory
        value = (
            Value.missing(name, row.unit, memory.source, memory.reason, listener)
            if memory.reason is not None
            else Value(memory.nbytes, row.unit, memory.source, name=name, exact=True, listener=listener, samples=1)
        )
    else:
        each = profile.of(_OF[name])
        if isinstance(each, Reason):
            value = Value.missing(name, row.unit, "cupti", each, listener)
        elif row.exact:
            value = _count(name, each, listener)
        else:
            centre = stats.centre_interval([[one] for one in each], _TICK)
            value = Value(centre.centre, row.unit, "cupti", max(0.0, centre.low), centre.high, name=name, listener=listener, samples=len(each))
    return dataclasses.replace(value, statistics={"p50": value})


def _count(name: str, each: list[int], listener: Listener | None) -> Value:
    reason = None
    if len(set(each)) > 1:
        reason = Reason("counts-differ", f"{len(each)} calls of the body have {min(each)} to {max(each)} {name}: {', '.join(map(str, each))}")
    return Value(each[-1], "1", "cupti", reason=reason, name=name, exact=True, listener=listener, samples=len(each))

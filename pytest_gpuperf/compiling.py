"""How the verb `compiled` runs, and what the launches of a measured body are compiled to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.budgets.collect import choose, read_limits
from pytest_gpuperf.budgets.judge import raise_undecided
from pytest_gpuperf.case import Check
from pytest_gpuperf.errors import BudgetExceeded, StaticError, Undeclared
from pytest_gpuperf.metrics import is_compiled, nearest
from pytest_gpuperf.reasons import FAIL, Reason
from pytest_gpuperf.resources import Resources, value_of
from pytest_gpuperf.static import adapters
from pytest_gpuperf.static.declared import stray
from pytest_gpuperf.static.model import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_gpuperf.case import Case
    from pytest_gpuperf.runtime import Runtime
    from pytest_gpuperf.static.model import Compiled
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.timing.launched import Launch
    from pytest_gpuperf.values import Value

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True


class CompiledKernel:
    """A kernel compiled for one signature and architecture: `c.registers`, `c["loads_128"]` are Values, `c.sass` and `c.ptx` texts.

    `c.code_hash` is of machine code, constants and resource counts, never of names, and None where there is no machine code; `c.toolchain` has the
    versions of what compiled it.
    """

    def __init__(self, one: Compiled, case: Case) -> None:
        """Made by `gpuperf.compiled`."""
        self.name, self.arch, self.signature, self.block = one.kernel, one.arch, one.signature, one.block
        self.ptx, self.sass, self.code_hash, self.toolchain = one.ptx, one.sass, one.code_hash, dict(one.toolchain)
        self._one, self._case = one, case

    def __getitem__(self, quantity: str) -> Value:
        """Return a quantity by name; KeyError with the nearest name."""
        if quantity not in QUANTITIES:
            message = f"{self.name} on {self.arch} has no quantity {quantity!r}{nearest(quantity, QUANTITIES)}"
            raise KeyError(message)
        return value_of(self._one, quantity, self._case)

    def __getattr__(self, name: str) -> Value:
        """Return a quantity by attribute; AttributeError with the nearest name."""
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(error.args[0]) from None

    def __repr__(self) -> str:
        """Name kernel and architecture, and the resources that are known."""
        known = [f"{name} {self._one.quantities[name]:g}" for name in ("registers", "spills", "shared") if name in self._one.quantities]
        return f"CompiledKernel({self.name} on {self.arch}{': ' if known else ''}{', '.join(known)})"

    def require(self, **limits: Any) -> None:
        """Judge limits on the spot, as `c.require(registers="<= 64", spills="== 0")`; raises BudgetExceeded that lists each, Inconclusive or Unmeasured."""
        budgets = choose(read_limits(limits, "require", "require"), None, "require")
        timed = next((one.limit.quantity for one in budgets if not is_compiled(one.limit.quantity)), None)
        if timed is not None:
            message = f"require({timed}=...): a compiled kernel was not launched, so it has none; it has: {', '.join(QUANTITIES)}"
            raise StaticError(message)
        judgements = Resources((self._one,), None, self._case.device, self._case).judged("", budgets)
        for judgement in judgements:
            self._case.require(judgement)
        failed = [judgement.message for judgement in judgements if judgement.verdict == FAIL]
        if failed:
            raise BudgetExceeded("\n".join(failed))
        raise_undecided(judgements, self.name, self._case)


def compile_one(
    runtime: Runtime,
    case: Case,
    kernel: Any,
    signature: str | None,
    arch: str | None,
    block: Any,
    dynamic_shared: int,
    options: dict[str, Any],
) -> CompiledKernel:
    """Compile a kernel for the verb `compiled`; StaticError, in one line and the next step, where that cannot be."""
    if hasattr(kernel, "asm") and hasattr(kernel, "metadata"):
        return _noted(case, adapters.compiled(kernel)[0])
    wanted = arch_of(runtime) if arch is None else arch
    if wanted is None:
        message = (
            f"compiled(arch=None): there is no GPU here whose architecture it could be; pass arch=, as arch={runtime.config.archs[0]!r}"
        )
        raise StaticError(message)
    threads = _threads(block)
    if isinstance(kernel, str):
        if not signature:
            raise StaticError("compiled(CUDA C): name the kernel too, as compiled(source, 'add<float>', arch='sm_90')")
        return _noted(case, adapters.nvrtc(kernel, signature, wanted, block=threads, dynamic_shared=dynamic_shared, options=options))
    request = runtime.offline.request(kernel, signature, wanted, block=threads, dynamic_shared=dynamic_shared, options=options)
    if isinstance(request, Reason):
        message = f"compiled: {request.detail}\nNext: {request.cause.next_step}."
        raise StaticError(message)
    return _noted(case, runtime.offline.compiled([request])[0])


def _noted(case: Case, one: Compiled) -> CompiledKernel:
    note(case, one, None)
    if one.error is not None:
        raise StaticError(one.error)
    return CompiledKernel(one, case)


def _threads(block: Any) -> int | None:
    """Return the threads of a block, given as a number or by dimensions."""
    if block is None:
        return None
    threads = 1
    for extent in block if isinstance(block, (tuple, list)) else (block,):
        threads *= int(extent)
    if not 0 < threads <= 1024:
        message = f"compiled(block={block!r}): a block has 1 to 1024 threads"
        raise StaticError(message)
    return threads


def arch_of(runtime: Runtime) -> str | None:
    """Return the architecture of the device, as "sm_90"; None without one."""
    if runtime.backend is None or runtime.hole is not None:
        return None
    return "sm_{}{}".format(*runtime.backend.open().compute_capability)


def note(case: Case, one: Compiled, measurement: str | None) -> None:
    """Remember what was compiled for a case, each once, with the measurements that it was for."""
    # Two kernels may have one name: their code tells them apart.
    key = (one.kernel, one.arch, one.signature, one.block, one.dynamic_shared, one.code_hash)
    found = case.compiled.setdefault(key, (one, []))
    if measurement is not None and measurement not in found[1]:
        found[1].append(measurement)


def seen_by(body: Body, launches: Sequence[Launch], case: Case) -> Sequence[Launch]:
    """Return what a measured body was seen to launch, of a captured graph what was captured, and let the case know."""
    from pytest_gpuperf.timing.graph import Graph

    seen = body.function.launched if isinstance(body.function, Graph) else launches
    case.launched += [(one.place, one.signature) for one in seen if one.signature]
    return seen


def resources_of(runtime: Runtime, case: Case, name: str, launches: Sequence[Launch]) -> Callable[[], Resources]:
    """Return what compiles the kernels that a body launched, once: for the device, or without one for each of --gpuperf-archs."""
    found: list[Resources] = []

    def resources() -> Resources:
        if not found:
            found.append(_resources(runtime, case, name, launches))
        return found[0]

    return resources


def _resources(runtime: Runtime, case: Case, name: str, launches: Sequence[Launch]) -> Resources:
    own = arch_of(runtime)
    archs = runtime.config.archs if own is None else (own,)
    asked = []
    for launch in launches:
        if not launch.signature:
            return Resources((), Reason("signature-unknown", f"{'.'.join(launch.place)}: {launch.unknown}"), case.device, case)
        for arch in archs:
            request = runtime.offline.request(
                launch.kernel, runtime.offline.meant(launch.place, launch.signature), arch, block=launch.block, dynamic_shared=launch.dynamic_shared
            )
            if isinstance(request, Reason):
                return Resources((), request, case.device, case)
            asked.append(request)
    compiled = tuple(runtime.offline.compiled(asked)) if asked else ()
    for one in compiled:
        note(case, one, name)
    return Resources(compiled, None, case.device, case)


def undeclared(runtime: Runtime, case: Case, launches: Iterable[tuple[tuple[str, str], str]]) -> Undeclared | None:
    """Return an error where declared kernels were launched with argument types that no KERNELS row has, and let it fail the case."""
    if not runtime.config.kernels:
        return None
    offline = runtime.offline
    lines = stray([(place, offline.meant(place, signature)) for place, signature in launches], offline.rows)
    if not lines:
        return None
    case.checks.append(Check("declared", "kernels", FAIL, "\n".join(lines)))
    return Undeclared("\n".join(lines))

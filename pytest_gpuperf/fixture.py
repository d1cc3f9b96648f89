"""The `gpuperf` fixture: one verb a method, each of them a delegation."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_gpuperf.arguments import call_once, listed, read_body, read_budget, read_cache, read_clock, read_counters, read_duty
from pytest_gpuperf.budgets.collect import choose, read_limits
from pytest_gpuperf.case import Case, Check, plain_error
from pytest_gpuperf.compiling import resources_of
from pytest_gpuperf.device.streams import StreamHandle, as_stream
from pytest_gpuperf.draws import with_seed
from pytest_gpuperf.measurement import Measurement
from pytest_gpuperf.nvtx_ranges import Range
from pytest_gpuperf.nvtx_ranges import range as nvtx_range
from pytest_gpuperf.reasons import FAIL, PASS, Reason
from pytest_gpuperf.timing.body import watched_once
from pytest_gpuperf.timing.launched import Launch, once, seen_launches
from pytest_gpuperf.timing.telling import begin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_gpuperf.comparison import Comparison
    from pytest_gpuperf.compiling import CompiledKernel
    from pytest_gpuperf.device.backend import DeviceFacts
    from pytest_gpuperf.identity.guard import Guarded
    from pytest_gpuperf.runtime import Runtime
    from pytest_gpuperf.timing.graph import Captured, Graph
    from pytest_gpuperf.work import Work

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True


class GpuPerf:
    """Measure bodies and check results; the `gpuperf` fixture of a test, or `pytest_gpuperf.session()` outside pytest."""

    #: Whether guarded arrays lie between red zones.
    _zones: ClassVar[bool] = True

    def __init__(self, runtime: Runtime, case: Case) -> None:
        """Made by the plugin, once a case."""
        self._runtime = runtime
        self._case = case

    @property
    def device(self) -> DeviceFacts | None:
        """Facts of the device (name, uuid, driver, cuda, memory_bytes); None without a GPU."""
        backend = self._runtime.backend
        return None if backend is None else backend.facts

    @property
    def stream(self) -> StreamHandle:
        """The stream that is measured or captured now: what `stream=` names, else torch's current one if torch is loaded, else the legacy default."""
        return as_stream(self._runtime.stream)

    def range(self, name: str) -> Range:
        """Put an NVTX range of the domain `gpuperf` around a block or a function."""
        return nvtx_range(name)

    def graph(self, fn: Callable[..., Any], *args: Any, **kw: Any) -> Graph:
        """Capture one call of `fn(*args, **kw)` into a graph and return a callable that replays it; it can be measured as any body.

        `fn` is called once before, to compile and load, and once for the capture; in both calls `gpuperf.stream`, and torch's and CuPy's
        current stream, are the one that is captured. numba kernels need it by name: `kernel[grid, block, gpuperf.stream](...)`.

        Raises NotCapturable with what forbade it. Without a GPU the callable runs the body itself, and its measurement is UNMEASURED.

        >>> kernel = fake.kernel(5e-6, stream=lambda: gpuperf.stream)
        >>> gpuperf.graph(kernel).launches == 1
        True
        >>> gpuperf.graph(fake.kernel(5e-6))
        Traceback (most recent call last):
        pytest_gpuperf.errors.NotCapturable: cannot capture FakeKernel: the body launches on the legacy default stream, which a capture forbids ...
        Launch on gpuperf.stream, read inside the body at each call: kernel[grid, block, gpuperf.stream](...).
        """
        __tracebackhide__ = True
        from pytest_gpuperf.timing.graph import Graph, capture

        runtime, launches = self._runtime, list[Launch]()
        body = read_body(fn, args, None, kw, None, None, varies=False, verb="graph")
        made: Captured | Reason | None = runtime.hole
        if made is None:
            assert runtime.backend is not None
            runtime.operations()
            made = capture(runtime.backend, runtime.on_stream, watched_once(body.bound(0), launches), getattr(fn, "__name__", type(fn).__name__))
            runtime.ran.add(runtime.key_of(fn))
        return Graph(body, made, lambda: runtime.stream, self._case, once(launches))

    def measure(
        self,
        fn: Callable[..., Any],
        *args: Any,
        name: str | None = None,
        work: Work | None = None,
        outputs: Sequence[Any] = (),
        inout: Sequence[Any] = (),
        inputs: Sequence[Sequence[Any]] | None = None,
        varies: bool = False,
        setup: Callable[[], Any] | None = None,
        stream: Any = None,
        cache: str | None = None,
        duty: str = "spaced",
        clock: str | None = None,
        samples: int = 0,
        counters: Sequence[str] = (),
        budget: Mapping[str, Any] | None = None,
        **kw: Any,
    ) -> Measurement:
        """Measure one body, `fn(*args, **kw)`, and check what its timed calls leave.

        `outputs` are arrays that the body writes whole, `inout` arrays that it changes (each call starts from the same bits); both are
        digested after timed calls, which must all leave the same bits unless `varies`. `inputs` rotates argument sets in place of `args`.
        `setup` runs before every call, untimed. `cache` is cold, warm, steady or cold-dirty; `clock` the source of the time: device, cupti or graph;
        `duty` spaced, or sustained: the device works without a gap, for kernels that live at its power limit. `samples` is the least number of
        samples; `counters` names hardware counters that are to be collected; `budget` limits of this measurement, as {"time": "<= 12 us"}. On return the buffers hold exactly one call from the entry state.

        Raises NotIdentical where timed calls differ or leave outputs unwritten, BadBudget for a limit that cannot be read, and whatever the
        body raises. Without a GPU, or without --gpuperf, the body runs once and every Value is UNMEASURED.

        >>> body = fake.kernel(5e-6)
        >>> m = gpuperf.measure(body, name="five")
        >>> m.time < 6e-6
        True
        """
        __tracebackhide__ = True
        from pytest_gpuperf.measuring import Wanted, run_measurement

        chosen = self._case.name_for(name)
        own = choose(read_limits(read_budget(budget, chosen), f"measure({chosen!r})", "budget=", chosen), self._runtime.device, f"measure({chosen!r})")
        # Before anything else can be refused: what a test swallows must not take its limits along.
        self._case.abandon(chosen, own)
        body = read_body(fn, args, inputs, kw, work, setup, varies=varies, options=OPTIONS)
        named = read_counters(counters, chosen)
        state, duty = read_cache(cache, self._runtime.config.cache), read_duty(duty)
        source = read_clock(clock, self._runtime)
        hole = self._runtime.hole if self._runtime.config.enabled else Reason("needs-gpuperf")
        if hole is not None:
            with self._runtime.telling(self._case.nodeid, chosen) as telling:
                begin(telling, "once")
                result, launches = seen_launches(lambda: call_once(body))
            made = Measurement.unmeasured(chosen, hole, result, work, self._case, self._runtime.device)
            made.compiled = resources_of(self._runtime, self._case, chosen, launches)
            made.details = {"cache": state, "checked": "unchecked", "varies": varies, "inputs": body.sets, "duty": duty}
            if self._runtime.config.enabled and (listed(outputs) or listed(inout)):
                self._case.unchecked.append((chosen, hole))
        else:
            wanted = Wanted(chosen, body, state, listed(outputs), listed(inout), own, stream, samples, source, duty, named)
            made = run_measurement(self._runtime, self._case, wanted)
        made.account = self._case.require
        for quantity in made.lazy:
            if self._case.has_limit(quantity, chosen, own):
                _ = made[quantity]
        self._case.measurements[chosen] = made
        self._case.overrides[chosen] = own
        failure = made.details.pop("failure", None)
        self._case.tell(measurements=made.record())
        if failure is not None:
            self._case.checked(Check("outputs", chosen, FAIL, str(failure)))
            raise failure
        checked = made.details.get("checked", "unchecked")
        if checked != "unchecked":
            what = "differ between calls, as declared" if varies else "hold the same bits"
            self._case.checked(Check("outputs", chosen, PASS, f"outputs of {'timed ' if made.details['samples'] else ''}calls {what} ({checked} digested)"))
        return made

    def compare(
        self,
        versions: Mapping[str, Callable[..., Any]],
        *args: Any,
        name: str = "compare",
        work: Work | None = None,
        outputs: Sequence[Any] = (),
        inout: Sequence[Any] = (),
        inputs: Sequence[Sequence[Any]] | None = None,
        varies: bool = False,
        setup: Callable[[], Any] | None = None,
        stream: Any = None,
        cache: str | None = None,
        **kw: Any,
    ) -> Comparison:
        """Compare versions of one computation, `{"loop": f, "kernel": g}`, each called as `f(*args, **kw)`; see `measure` for the other words.

        Calls of all versions alternate in random ABBA blocks over the same buffers, each read as `measure` reads it, so that a drift or a
        throttle that is common to them cancels. Where one version synchronises, all are compared by `wall_time`. They must leave the same bits
        in `outputs`, `inout` and the device arrays that they return, unless `varies`; NotIdentical names those that do not. The result has
        `c["kernel"].time`, `c.speedup(of=, over=)` and `c.require(speedup=">= 2.5", of=, over=)`; its measurements are named "compare/kernel".

        Without a GPU, or without --gpuperf, every version runs once and every Value is UNMEASURED.

        >>> c = gpuperf.compare({"loop": fake.kernel(50e-6), "kernel": fake.kernel(10e-6)})
        >>> c["kernel"].time < 12e-6, c.speedup(of="kernel", over="loop") > 4
        (True, True)
        """
        __tracebackhide__ = True
        from pytest_gpuperf.comparing import Given, run_comparison

        given = Given(versions, args, kw, name, work, listed(outputs), listed(inout), inputs, varies, setup, stream, cache)
        return run_comparison(self._runtime, self._case, given)

    def compiled(
        self, kernel: Any, signature: str | None = None, *, arch: str | None = None, block: int | Sequence[int] | None = None, dynamic_shared: int = 0, **options: Any
    ) -> CompiledKernel:
        """Compile a numba kernel without launching it, and return what a GPU would load: `c.registers`, `c.spills`, `c.sass`, `c.code_hash`.

        `kernel` is a numba kernel, a plain function, for which `options` are those of numba's `jit`, or a row of KERNELS, which knows its signature
        and block. `arch` is as "sm_90"; with a GPU it is the device's where none is given. `block` (threads, or their extents) and `dynamic_shared`
        (bytes) are for the occupancy. Works with and without a GPU, and where numba's simulator is on: a child process compiles. A CompiledKernel
        of Triton is read as it is; a text is CUDA C, and `signature` then names its kernel.

        Raises StaticError, in one line: for what the compiler refuses, an architecture that there is not, a kernel that no other process finds.
        """
        __tracebackhide__ = True
        from pytest_gpuperf.compiling import compile_one

        return compile_one(self._runtime, self._case, kernel, signature, arch, block, dynamic_shared, options)

    def identical(self, a: Any, b: Any, name: str = "") -> None:
        """Check that two arrays hold the same raw bits: -0.0 and NaN payloads count.

        Takes NumPy, torch, numba and CuPy arrays in any mixture; raises NotIdentical with the first difference, its bits and ulps, or with
        the shapes or dtypes where these differ.

        >>> gpuperf.identical(np.float32([0.0]), np.float32([-0.0]))
        Traceback (most recent call last):
        pytest_gpuperf.errors.NotIdentical: bits differ: 1 of 1 elements, first at [0]: 0x00000000 != 0x80000000 (sign of zero), largest 0 ulp
        they differ only in the sign of zero
        """
        __tracebackhide__ = True
        from pytest_gpuperf.identity.bits import identical

        self._check("identical", name, lambda: identical(a, b, operations=self._operations(a, b)))

    def close(self, a: Any, b: Any, *, ulp: float | None = None, rtol: float | None = None, atol: float | None = None, name: str = "") -> None:
        """Check that two arrays agree within `ulp` units in the last place, or within `atol + rtol * |b|`.

        NaN agrees with NaN only. Output that is zero or constant everywhere is refused where the reference `b` is not.

        >>> gpuperf.close(np.float32([1.0]), np.float32([1.0000001]), ulp=1)
        """
        __tracebackhide__ = True
        from pytest_gpuperf.identity.close import close

        self._check("close", name, lambda: close(a, b, ulp=ulp, rtol=rtol, atol=atol, operations=self._operations(a, b)))

    def golden(self, name: str, array: Any, *, per_arch: bool = False, keep: bool | None = None) -> None:
        """Check that an array holds the bits that the reviewed file golden/<test file>.json beside the test has under `name`.

        `--gpuperf-update-golden` writes the file. With `per_arch` each architecture has an entry of its own (`name [sm_90]`, without a GPU
        `name [host]`); with `keep`, or up to 4 KiB without a word, a copy lies beside, so that a failure shows the elements that differ.
        """
        __tracebackhide__ = True
        from pytest_gpuperf.checks import check_golden

        self._check("golden", name, lambda: check_golden(self._runtime, self._case, name, array, per_arch=per_arch, keep=keep))

    def guarded(self, shape: int | Sequence[int], dtype: Any = "float32", *, like: str | None = None, name: str = "", partial: bool = False) -> Guarded:
        """Make an array between red zones, poisoned: its `array` is for a kernel, and at the end of the case, or at `check()`, it is looked at.

        Writes outside of it and elements that nobody wrote are NotIdentical, with index; `partial` allows the latter. `like` is torch, numba,
        cupy or numpy; by default what is loaded, and NumPy without a device.

        >>> out = gpuperf.guarded(8, "int32", name="out")
        >>> fake.kernel(5e-6, effect=lambda: out.array.numpy()[:7].fill(1))()
        >>> out.check()
        Traceback (most recent call last):
        pytest_gpuperf.errors.NotIdentical: out: not written: 1 of 8 elements hold the poison, first at [7] (guarded(..., partial=True) where that is meant)
        """
        __tracebackhide__ = True
        from pytest_gpuperf.checks import make_guarded

        made = make_guarded(self._runtime, self._case, shape, dtype, like, name, self._check, partial=partial, zones=self._zones)
        self._case.guards.append(made)
        return made

    def deterministic(
        self, fn: Callable[..., Any], *args: Any, outputs: Sequence[Any] = (), inout: Sequence[Any] = (), runs: int = 20, name: str = "",
        setup: Callable[[], Any] | None = None, stream: Any = None, **kw: Any,
    ) -> None:  # fmt: skip
        """Check that `runs` calls of `fn(*args, **kw)` leave the same bits, half of them while a kernel in another stream keeps memory and multiprocessors busy.

        `outputs` are poisoned before each call, `inout` put back. Raises NotIdentical, which says which it was: an element not written, a change from
        run to run, contention, or a call of its own; with first index, bits and a histogram of ulps. ValueError for one run, or nothing to check.

        >>> out, calls = fake.array(4), iter(range(100))
        >>> body = fake.kernel(5e-6, effect=lambda: out.numpy().fill(2.0 if next(calls) == 10 else 1.0))
        >>> gpuperf.deterministic(body, outputs=[out])
        Traceback (most recent call last):
        pytest_gpuperf.errors.NotIdentical: wrong only on call 11 (beside contention): outputs[0] has other bits than after 19 of 20 calls; ...
        """
        __tracebackhide__ = True
        from pytest_gpuperf.determining import Repeats, read_runs, run_repeats

        body = read_body(fn, args, None, kw, None, setup, varies=False, options=DETERMINISTIC, verb="deterministic")
        wanted = Repeats(body, listed(outputs), listed(inout), read_runs(runs), stream)
        self._check("deterministic", name, lambda: run_repeats(self._runtime, self._case.nodeid, wanted))

    def rng(self, name: str = "", *, torch: Any = None) -> Any:
        """Return a generator of inputs, another at each call: NumPy's, or with `torch="cuda"` torch's on that device.

        What it draws depends on `--gpuperf-seed`, the case, `name` and the number of the call; a check that fails says with which seed.

        >>> bool((gpuperf.rng().random(3) == gpuperf.rng().random(3)).any())
        False
        """
        from pytest_gpuperf.draws import generator

        return generator(self._runtime.config, self._case, name, torch)

    def _check(self, kind: str, name: str, check: Callable[[], str]) -> None:
        __tracebackhide__ = True
        title = name or f"{kind} {sum(one.kind == kind for one in self._case.checks) + 1}"
        try:
            detail = check()
        except AssertionError as error:
            error.args = (with_seed(str(error), self._runtime.config, self._case),)
            self._case.checked(Check(kind, title, FAIL, plain_error(error)))
            if name:
                error.args = (f"{name}: {error}",)
            raise
        self._case.checked(Check(kind, title, PASS, detail))

    def _operations(self, *arrays: Any) -> Any:
        """Open the device only where an array lies on it."""
        from pytest_gpuperf.device.arrays import device_arrays

        return self._runtime.operations() if device_arrays(list(arrays)) else None


#: What measure() takes by name for itself.
OPTIONS = tuple(name for name, one in inspect.signature(GpuPerf.measure).parameters.items() if one.kind is one.KEYWORD_ONLY)
DETERMINISTIC = tuple(name for name, one in inspect.signature(GpuPerf.deterministic).parameters.items() if one.kind is one.KEYWORD_ONLY)

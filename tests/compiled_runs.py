"""Compiled kernels for tests: rows with chosen numbers, and a compiler that gives them without compiling."""

from __future__ import annotations

import random
import textwrap
from typing import ClassVar

from plugin_runs import FAKE, NO_GPU
from run_files import assemble, case

from pytest_gpuperf.budgets.collect import read_limits
from pytest_gpuperf.resources import judge_one
from pytest_gpuperf.static.architectures import architecture
from pytest_gpuperf.static.model import QUANTITIES, Compiled
from pytest_gpuperf.static.record import record_of

TOOLCHAIN = {"nvvm": "13.0.88", "nvjitlink": "13.0.88", "numba": "0.62.1"}
SASS = "/*0000*/ LDG.E.128 R4, [R2] ;\n/*0010*/ FADD R1, R1, R4 ;\n/*0020*/ EXIT ;\n"


def compiled(kernel="decode", arch="sm_90", *, sass=SASS, code_hash="ab", toolchain=TOOLCHAIN, signature="void(float32[::1])", reasons=None, error=None, block=128, dynamic_shared=0, **numbers):
    """Return a compiled kernel: 40 registers, no spills, four 16-byte loads, and zeros, but for `numbers`; what has one of `reasons` has no number."""
    plain = dict.fromkeys(QUANTITIES, 0) | {"registers": 40, "loads_128": 4, "occupancy": 75.0} | numbers
    known = {} if error else {name: number for name, number in plain.items() if name not in (reasons or {})}
    return Compiled(kernel, arch, signature, known, reasons or {}, "// ptx\n", sass, code_hash, toolchain, block=block, dynamic_shared=dynamic_shared, error=error)


def compiled_run(*, failing=False, slow=False):
    """Return a run that compiled one kernel for two architectures; where it is `failing`, on one of them with more registers and narrow loads; where it is `slow`, only its time is another."""
    bad = compiled(registers=56, code_hash="cd", sass=SASS.replace("LDG.E.128", "LDG.E")) if failing else compiled()
    budgets = [judge_one(read_limits({"registers": "<= 48"}, "here", "require")[0], "", one).record() for one in (bad, compiled(arch="sm_80"))]
    records = [record_of(bad, ["main"], failed=failing), record_of(compiled(arch="sm_80"), [], failed=False)]
    made = case(0, "FAIL" if failing or slow else "PASS", random.Random(1))
    return assemble([made | {"nodeid": "t.py::test_it", "compiled": records, "budgets": budgets}])


class FakeCompiler:
    """Answers requests without compiling: `numbers` by name of the kernel, or by (name, arch); `batches` are the names of what was asked at once."""

    numbers: ClassVar[dict] = {}
    batches: ClassVar[list] = []

    def compile(self, requests):
        self.batches.append([(one.name, one.arch) for one in requests])
        return [self._answer(architecture(one.arch) and one) for one in requests]

    def close(self):
        self.batches.append("closed")

    def _answer(self, request):
        told = {**self.numbers.get(request.name, {}), **self.numbers.get((request.name, request.arch), {})}
        code = f"{request.name} {request.arch} {sorted(told.items())}"
        return compiled(request.name, request.arch, code_hash=code, signature=request.signature, block=request.block, dynamic_shared=request.dynamic_shared, **told)


#: What a test's folder needs for a session whose compiler is fake: a device, or none.
_COMPILER = textwrap.dedent("""\

    import pytest

    from compiled_runs import FakeCompiler
    from pytest_gpuperf.static import session as of_session


    @pytest.fixture
    def compiler():
        return FakeCompiler


    def pytest_collection(session):
        kept, of_session.Compiler = of_session.Compiler, FakeCompiler
        FakeCompiler.numbers, FakeCompiler.batches = {}, []
        session.config.add_cleanup(lambda: setattr(of_session, "Compiler", kept))
    """)
ON_DEVICE, OFF_DEVICE = FAKE + _COMPILER, NO_GPU + _COMPILER

#: A module whose kernels look like numba's dispatcher to whoever watches it, and launch nothing.
KERNELS = """
    import dataclasses
    import types
    from typing import Any

    from numba import typeof

    _dispatcher = types.ModuleType("numba.cuda.dispatcher")
    exec("def call(self, args, launch_config):\\n    return self.py_func(*args)\\n", vars(_dispatcher))


    class Kernel:
        def __init__(self, function, kinds=()):
            self.py_func, self.kinds, self.overloads = function, kinds, {}
            self.__name__ = function.__name__

        def typeof_pyval(self, value):
            return typeof(value)

        def __getitem__(self, shape):
            configured = types.SimpleNamespace(blockdim=(shape[1], 1, 1), sharedmem=shape[3] if len(shape) > 3 else 0)

            def launch(*args):
                kinds = tuple(self.typeof_pyval(one) for one in args)
                self.overloads[kinds] = None
                return _dispatcher.call(self, args, configured)

            return launch

        def __call__(self, *args):
            raise ValueError("not configured")


    def kernel(function):
        return Kernel(function)


    @kernel
    def scale(array, factor):
        pass


    @kernel
    def other(array):
        pass


    def make():
        @kernel
        def inner(array):
            pass

        return inner


    listed = make()


    @dataclasses.dataclass(frozen=True)
    class Row:
        name: str
        function: Any
        signature: str
        block: Any = 128


    KERNELS = (
        Row("scale.f32", scale, "void(float32[::1], float32)", (64, 2)),
        Row("scale.i32", scale, "void(int32[::1], int32)"),
        Row("listed", listed, "void(float32[::1])"),
    )
"""

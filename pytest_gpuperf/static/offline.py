"""numba's own road from a kernel to the machine code that a GPU would load, without a GPU: only the question which device there is gets another answer.

Everything else is numba's: optimisation levels, link-time optimisation, the architecture ("sm_90a" on a device of 9.0), options of the decorator. The assembler is
asked to report, which changes a note in the file and not the code. Runs in a child that does not simulate; see child.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
import types
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.static.architectures import architecture
from pytest_gpuperf.static.assembler import spilled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Kernels whose decorator has a signature, by their id: (the kernel, texts of its signatures).
_declared: dict[int, tuple[Any, list[str]]] = {}


class Refused(Exception):
    """A kernel that numba or the assembler will not compile; one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Built:
    """One kernel for one architecture: its name in the machine code, what numba made of it, and the bytes that the assembler says it spills (None where it does not say)."""

    entry: str
    ptx: str
    cubin: bytes
    spills: int | None


#: The device that numba believes in: decorators with a signature compile helpers for it when a module is imported.
_believed = types.SimpleNamespace(compute_capability=(8, 0))


@contextlib.contextmanager
def device(capability: tuple[int, int]) -> Iterator[None]:
    """Let numba believe in a device of a compute capability, to compile for it; `prepare` comes first."""
    kept = _believed.compute_capability
    _believed.compute_capability = capability
    try:
        yield
    finally:
        _believed.compute_capability = kept


@functools.cache
def prepare() -> None:
    """Make numba believe in our device, its linker report, and its decorators note a signature instead of loading what they would compile."""
    from numba.cuda import codegen, dispatcher
    from numba.cuda.cudadrv import driver

    dispatcher.get_current_device = lambda: _believed
    codegen.devices = types.SimpleNamespace(get_context=lambda: types.SimpleNamespace(device=_believed))
    ask = driver._Linker._get_linker_options  # noqa: SLF001 - numba has no public road to the options of its linker

    def reporting(self: Any, *args: Any, **keywords: Any) -> Any:
        return dataclasses.replace(ask(self, *args, **keywords), verbose=True, ptxas_options=["-v"])

    def note(self: Any, signature: Any) -> None:
        _declared.setdefault(id(self), (self, []))[1].append(str(signature))

    def only(self: Any, val: bool = True) -> None:
        # Of a helper that has signatures numba casts arguments to them; a kernel has none compiled here.
        if self.targetoptions.get("device"):
            self._can_compile = not val

    driver._Linker._get_linker_options = reporting  # noqa: SLF001
    dispatcher.CUDADispatcher.compile = note
    dispatcher.CUDADispatcher.disable_compile = only


def declared(kernel: Any) -> list[str]:
    """Return the signatures that a kernel's decorator has."""
    return _declared.get(id(kernel), (kernel, []))[1]


def served(kernel: Any, signature: str) -> str:
    """Return the signature of the code that numba launches for arguments of a signature: where the decorator has signatures, one of those; Refused where none fits."""
    from numba.cuda.core import sigutils

    try:
        known = [tuple(sigutils.normalize_signature(text)[0]) for text in declared(kernel)]
        asked = tuple(sigutils.normalize_signature(signature)[0])
    except Exception:  # noqa: BLE001 - `build` says what is wrong with it
        return signature
    if not known or asked in known:
        return signature
    chosen: Any = known[0]
    if not kernel.specialized:
        from numba.core import types, typing

        try:
            found = kernel.typingctx.resolve_overload(kernel.py_func, [typing.signature(types.none, *one) for one in known], asked, {})
        except Exception as error:
            raise Refused(one_line(error)) from error
        if found is None:
            message = f"its decorator has {len(known)} signatures, and none is for {signature}"
            raise Refused(message)
        chosen = found.args
    return f"void({', '.join(map(repr, chosen))})"


def settings(harmless: Sequence[str]) -> dict[str, str]:
    """Return numba's settings less the `harmless` ones: from the environment, a file, or a module that sets them."""
    from numba.core import config as of_numba

    try:
        from numba.cuda.core import config as of_cuda
    except ImportError:
        of_cuda = of_numba
    skipped = {*harmless, *(name.removeprefix("NUMBA_") for name in harmless), "NUMBA_DEFAULT_NUM_THREADS"}
    return {
        f"{home.__name__}.{name}": repr(value)
        for home in (of_numba, of_cuda)
        for name, value in sorted(vars(home).items())
        if name.isupper() and name not in skipped and isinstance(value, (bool, int, float, str, type(None)))
    }


def kernel_of(thing: Any, options: dict[str, Any]) -> Any:
    """Return numba's dispatcher for a kernel, or for a plain function with the options of `cuda.jit`; Refused for what is neither."""
    from numba import cuda
    from numba.cuda.dispatcher import CUDADispatcher

    if isinstance(thing, types.FunctionType):
        thing = cuda.jit(**options)(thing)
    if not isinstance(thing, CUDADispatcher):
        message = f"it is {type(thing).__module__}.{type(thing).__qualname__}, no kernel of numba"
        raise Refused(message)
    if thing.targetoptions.get("device"):
        message = "it is a device function: ask for a kernel that calls it"
        raise Refused(message)
    return thing


def build(kernel: Any, signature: str, names: Sequence[str]) -> Iterator[Built | Refused]:
    """Yield what a kernel is compiled to for each architecture.

    numba types and lowers it once, since nothing in that depends on the device from sm_75 on; optimising, linking and assembling are done for each.
    """
    from numba.cuda.core import sigutils
    from numba.cuda.dispatcher import _Kernel

    rows = [architecture(name) for name in names]
    try:
        types_of, returned = sigutils.normalize_signature(signature)
    except Exception as error:  # noqa: BLE001 - the text is evaluated: whatever it raises is the answer
        told = Refused(f"its signature {signature!r} cannot be read: {one_line(error)}")
        yield from [told] * len(rows)
        return
    if returned is not None and str(returned) not in {"none", "void"}:
        yield from [Refused(f"its signature returns {returned}, and a kernel returns nothing")] * len(rows)
        return
    with device(rows[0].capability):
        try:
            made = _Kernel(kernel.py_func, types_of, **kernel.targetoptions)
        except Exception as error:  # noqa: BLE001 - numba raises many kinds, and TypeError or KeyError where it is wrong itself
            yield from [Refused(one_line(error))] * len(rows)
            return
    library = made._codelibrary  # noqa: SLF001 - numba has no public road to it
    for row in rows:
        with device(row.capability):
            try:
                cubin = library.get_cubin()
                yield Built(made.entry_name, library.get_asm_str(), bytes(getattr(cubin, "code", cubin)), _spilled(library, row.capability, made.entry_name))
            except Exception as error:  # noqa: BLE001 - as above, of NVVM and nvJitLink
                yield Refused(one_line(error))


def _spilled(library: Any, capability: tuple[int, int], entry: str) -> int | None:
    with device(capability):
        log = library.get_linkerinfo(library._ensure_cc(None))  # noqa: SLF001 - the key of what was just linked
    return spilled(log.decode() if isinstance(log, bytes) else log or "", entry)


def one_line(error: BaseException) -> str:
    r"""Return what an error of the compiler says in one line, with the line of the kernel where it stands.

    >>> one_line(ValueError('Failed in cuda mode pipeline (step: nopython frontend)\nNo way to add:\n\n >>> add(x)\n\nFile "k.py", line 7:\n<source>'))
    'No way to add: add(x) (k.py:7)'
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)) or type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip() and not re.match(r"\s*(Failed in |- )", line)]
    said = lines[0] if lines else type(error).__name__
    if said.endswith(":") and len(lines) > 1:
        said += " " + lines[1].removeprefix(">>> ")
    place = re.search(r'File "(?:.*[/\\])?([^"/\\]+)", line (\d+)', text)
    return said + (f" ({place[1]}:{place[2]})" if place else "")

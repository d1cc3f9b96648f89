"""ADAPTERS: the same quantities of what another compiler made, each by one small function that finds a cubin and what is known beside it."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Protocol

from pytest_gpuperf.errors import StaticError
from pytest_gpuperf.static import disassemble, elf
from pytest_gpuperf.static.answers import answered
from pytest_gpuperf.static.architectures import ARCHITECTURES, architecture
from pytest_gpuperf.static.assembler import spilled
from pytest_gpuperf.static.cache import Code
from pytest_gpuperf.static.model import Compiled, Reference, Request
from pytest_gpuperf.static.toolchain import versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """One kernel as its compiler left it: machine code, the kernel's name in it, and what only the compiler knows.

    `arch` is as "sm_90", `spills` are bytes (None: not known), `block` are threads (None: not known), `dynamic_shared` bytes.
    """

    name: str
    arch: str
    cubin: bytes
    entry: str | None
    ptx: str = ""
    spills: int | None = None
    block: int | None = None
    dynamic_shared: int = 0
    signature: str = ""
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Adapter(Protocol):
    """Finds the kernels of one compiler's objects."""

    def __call__(self, thing: Any) -> Sequence[Found] | None:
        """Return the kernels of an object; None for what is not this compiler's."""


def triton(thing: Any) -> Sequence[Found] | None:
    """Find the kernel of a CompiledKernel of Triton; its shared memory is all dynamic.

    What Triton calls spills are the words of local memory of the loaded function, so they are known where there is a GPU only.
    """
    assembled: Any = getattr(thing, "asm", None)
    if not hasattr(assembled, "get") or not hasattr(thing, "metadata") or "cubin" not in assembled:
        return None
    about = thing.metadata
    load = getattr(thing, "_init_handles", None)
    spills = getattr(thing, "n_spills", None)
    if spills is None and load is not None:
        # Known once the driver has loaded it, where there is one.
        try:
            load()
        except Exception:  # noqa: BLE001 - without a GPU Triton raises what it likes
            spills = None
        else:
            spills = thing.n_spills
    target = about.target.arch
    ptx = assembled.get("ptx", "")
    return [
        Found(
            name=str(about.name),
            arch=f"sm_{target}",
            cubin=bytes(assembled["cubin"]),
            entry=str(about.name),
            ptx=ptx if isinstance(ptx, str) else "",
            spills=None if spills is None else int(spills) * 4,
            block=32 * int(about.num_warps),
            dynamic_shared=int(about.shared),
        )
    ]


def numba(thing: Any) -> Sequence[Found] | None:
    """Find the specialisations of a kernel of numba that this process has compiled, as its device loads them; the assembler was not asked for spills."""
    if not hasattr(thing, "overloads") or not hasattr(thing, "targetoptions"):
        return None
    found = []
    for types, kernel in thing.overloads.items():
        library = kernel._codelibrary  # noqa: SLF001 - numba has no public road to it
        cubin = library.get_cubin()
        code = bytes(getattr(cubin, "code", cubin))
        found.append(Found(thing.py_func.__name__, arch_of(code), code, kernel.entry_name, signature=str(types)))
    return found


ADAPTERS: tuple[Adapter, ...] = (triton, numba)


def arch_of(cubin: bytes) -> str:
    """Return the architecture of a cubin, by the flags in its head; StaticError for one that is not in ARCHITECTURES."""
    flags = int.from_bytes(cubin[0x30:0x34], "little")
    # Newer files have the number in the second byte, older ones in the first.
    names = {row.name for row in ARCHITECTURES}
    for number in ((flags >> 8) & 0xFF, flags & 0xFF):
        if f"sm_{number}" in names:
            return f"sm_{number}"
    message = f"a cubin for an unknown architecture: flags {flags:#x}"
    raise StaticError(message)


def compiled(thing: Any) -> list[Compiled]:
    """Return what the kernels of a compiler's object compiled to; StaticError for an object that no row of ADAPTERS knows."""
    for adapter in ADAPTERS:
        found = adapter(thing)
        if found is not None:
            return judged(found)
    kind = type(thing)
    message = f"{kind.__module__}.{kind.__qualname__} is no kernel that an adapter knows: Triton's CompiledKernel or numba's kernels that were launched"
    raise StaticError(message)


def judged(found: Sequence[Found]) -> list[Compiled]:
    """Return the quantities of kernels that adapters have found."""
    rows = [architecture(one.arch) for one in found]
    machine = [(row.target, elf.read(one.cubin, one.entry, in_section=row.in_section).text) for row, one in zip(rows, found, strict=True)]
    path = disassemble.find()
    release = {"nvdisasm": disassemble.version(path)} if path else {}
    answers = []
    for one, text in zip(found, disassemble.disassemble(machine, path), strict=True):
        request = Request(one.name, Reference("cubin"), one.signature, one.arch, one.block, one.dynamic_shared)
        code = Code(one.cubin, one.entry, one.ptx, one.spills, {**one.versions, **release}, text if isinstance(text, str) else None)
        answers.append(answered(request, code, None if isinstance(text, str) else text))
    return answers


def nvrtc(
    source: str, kernel: str, arch: str, *, block: int | None = None, dynamic_shared: int = 0, options: Mapping[str, Any] | None = None
) -> Compiled:
    """Compile CUDA C by NVRTC and return the quantities of one kernel; needs cuda-core and no driver.

    `kernel` is a name, or an instance as "add<float>"; `options` are those of cuda.core's ProgramOptions. StaticError is NVRTC's first error in one line.
    """
    from cuda.core import Program, ProgramOptions

    row = architecture(arch)
    asked = ProgramOptions(**{"arch": row.target, "ptxas_options": ["-v"], **(options or {})})
    log = _Log()
    try:
        program = Program(source, "c++", asked)
        code = program.compile("cubin", name_expressions=(kernel,), logs=log)
    except Exception as error:
        message = f"{kernel} on {arch}: {_first(str(error), log.text)}"
        raise StaticError(message) from error
    entry = dict(code.symbol_mapping).get(kernel, kernel)
    name = entry.decode() if isinstance(entry, bytes) else str(entry)
    found = Found(
        kernel, arch, bytes(code.code), name, spills=spilled(log.text, name), block=block, dynamic_shared=dynamic_shared, versions=versions()
    )
    return judged([found])[0]


class _Log:
    """What cuda.core writes its logs to."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        """Add a text."""
        self.text += text


def _first(said: str, log: str) -> str:
    lines = [line.strip() for text in (log, said) for line in text.splitlines()]
    return next((line for line in lines if re.search(r"\berror\b", line)), lines[0] if lines else "it said nothing")

"""What a kernel is compiled from, as one hash: its bytecode, what that names and holds, and the same of every function that is compiled into it."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
import re
import site
import sys
import sysconfig
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Packages whose versions are in the key of a compilation: of them a name is enough.
_TOOLCHAIN = ("numba", "numba_cuda", "llvmlite", "numpy", "cuda", "math", "operator", "builtins", "functools", "typing", "collections")
_PLAIN = (bool, int, float, complex, str, bytes, type(None), enum.Enum)
#: Modules with such names in their source change how numba compiles what does not name them: they count whole.
_EXTENDS = re.compile(
    r"\b(overload|overload_method|overload_attribute|lower_builtin|lower_cast|type_callable|register_model|typeof_impl|register_jitable)\b"
)


_walked: dict[int, tuple[Any, str | None]] = {}


class Unknown(Exception):
    """A kernel refers to something whose value cannot be told, so that what is stored of it could be of another one."""


def digest(kernel: Any, about: Mapping[str, Any]) -> str | None:
    """Return the hash of a kernel's sources and of `about`, which JSON can write; None where something that the kernel refers to cannot be told."""
    own = _sources(kernel)
    return (
        None if own is None else hashlib.sha256(f"{own} {json.dumps(about, sort_keys=True)}".encode("utf-8", "surrogatepass")).hexdigest()
    )


def _sources(kernel: Any) -> str | None:
    # Asked for each architecture, and walked once: what is kept keeps the kernel alive, so that its id stays its own.
    if id(kernel) not in _walked:
        walk = _Walk(lines=any(getattr(kernel, "targetoptions", {}).get(name) for name in ("lineinfo", "debug")))
        try:
            walk.visit(kernel)
            for path in sorted(extending()):
                walk.say("module", _file_digest(path))
            found = walk.found.hexdigest()
        except (Unknown, RecursionError):
            found = None
        _walked[id(kernel)] = kernel, found
    return _walked[id(kernel)][1]


def extending() -> set[str]:
    """Return the files of this process's own modules that register something with numba."""
    others = [module for name, module in [*sys.modules.items()] if name.partition(".")[0] != "pytest_gpuperf"]
    own = {str(module.__file__) for module in others if getattr(module, "__file__", None)}
    return {path for path in own if path.endswith(".py") and not _installed(path) and _extends(path)}


@functools.cache
def _extends(path: str) -> bool:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return "numba" in text and bool(_EXTENDS.search(text))


@functools.cache
def _file_digest(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise Unknown(path) from error


def _file_digest_now(path: str) -> str:
    return _file_digest.__wrapped__(path)


@functools.cache
def _installed(path: str) -> bool:
    """Say whether a file is of Python itself or of an installed package."""
    return path.startswith("<") or _of_python(path) or any(Path(path).is_relative_to(root) for root in _packages())


@functools.cache
def _of_python(path: str) -> bool:
    """Say whether a file is of Python itself; installed packages may lie in a folder of its library."""
    inside = Path(path).is_relative_to(sysconfig.get_path("stdlib"))
    return inside and not any(Path(path).is_relative_to(root) for root in _packages())


@functools.cache
def _packages() -> frozenset[str]:
    return frozenset({sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages(), site.getusersitepackages()})


class _Walk:
    """Walks what a kernel refers to, in an order that is the same in every process."""

    def __init__(self, *, lines: bool) -> None:
        self.found = hashlib.sha256()
        self.lines = lines
        # Also keeps what was seen alive, so that no two of them have one id.
        self.seen: dict[int, tuple[int, Any]] = {}

    def say(self, *words: object) -> None:
        """Add words to the hash."""
        self.found.update(repr(words).encode("utf-8", "surrogatepass"))

    def visit(self, thing: Any, names: frozenset[str] = frozenset()) -> None:
        """Add one thing; `names` are those that the function uses in which it was found."""
        if isinstance(thing, _PLAIN):
            self.say(type(thing).__name__, repr(thing))
            return
        if isinstance(thing, types.ModuleType):
            # Not once for all: another function may name more of it.
            self._module(thing, names)
            return
        if id(thing) in self.seen:
            self.say("seen", self.seen[id(thing)][0])
            return
        self.seen[id(thing)] = len(self.seen), thing
        self._object(thing)

    def _object(self, thing: Any) -> None:
        kind = type(thing)
        if hasattr(thing, "py_func") and hasattr(thing, "targetoptions"):
            self._several("kernel", (thing.py_func, {name: value for name, value in thing.targetoptions.items() if name != "link"}))
            self._linked(thing.targetoptions.get("link") or ())
            if not getattr(thing, "_can_compile", True):
                # Its decorator has signatures: arguments are cast to these.
                self.say("only", [str(getattr(one, "signature", "")) for one in thing.overloads.values()])
        elif kind.__name__ == "_Intrinsic" and hasattr(thing, "_defn"):
            self._several("intrinsic", (thing._defn, getattr(thing, "_ctor_kwargs", {})))  # noqa: SLF001 - numba has no public road to it
        elif isinstance(thing, types.FunctionType):
            self._function(thing)
        elif isinstance(thing, functools.partial):
            self._several("partial", (thing.func, thing.args, thing.keywords))
        elif hasattr(thing, "__wrapped__") and hasattr(thing, "cache_info"):
            self._several("cached", (thing.__wrapped__,))
        elif isinstance(thing, (tuple, list)):
            self.say("fields", getattr(kind, "_fields", ()))
            self._several(kind.__name__, thing)
        elif isinstance(thing, (set, frozenset)):
            self.say("set", sorted(map(repr, thing)))
        elif isinstance(thing, (dict, types.MappingProxyType)):
            self._several("dict", [part for item in thing.items() for part in item])
        elif isinstance(thing, types.SimpleNamespace):
            self._several("namespace", [part for item in vars(thing).items() for part in item])
        elif isinstance(thing, (types.BuiltinFunctionType, types.MethodDescriptorType)):
            self.say("builtin", thing.__module__ if hasattr(thing, "__module__") else "", thing.__qualname__)
        elif isinstance(thing, type):
            self._class(thing)
        elif kind.__module__.partition(".")[0] == "numpy" and hasattr(thing, "tobytes"):
            # Strides too: indices into what is ordered as Fortran has it are other code.
            self.say("array", str(thing.dtype), thing.shape, getattr(thing, "strides", ()), thing.tobytes())
        elif dataclasses.is_dataclass(thing):
            self._class(kind)
            self._several("row", [getattr(thing, field.name) for field in dataclasses.fields(thing)])
        elif kind.__module__.partition(".")[0] in _TOOLCHAIN and " at 0x" not in (text := str(thing)):
            # Types of numba and of llvmlite, whose text is what they are.
            self.say("type", kind.__module__, kind.__qualname__, text)
        else:
            raise Unknown(f"{kind.__module__}.{kind.__qualname__}")

    def _several(self, what: str, things: Any) -> None:
        self.say(what, len(things))
        for one in things:
            self.visit(one)

    def _module(self, module: types.ModuleType, names: frozenset[str]) -> None:
        if module.__name__.partition(".")[0] in _TOOLCHAIN:
            self.say("module", module.__name__)
            return
        for name in sorted(names & vars(module).keys()):
            self.say("attribute", module.__name__, name)
            self.visit(vars(module)[name], names)

    def _linked(self, files: Any) -> None:
        """Add what a kernel is linked with: files by what is in them now, and code that numba holds."""
        for one in files:
            if isinstance(one, str):
                self.say("link", _file_digest_now(one))
            elif isinstance(getattr(one, "data", None), (bytes, str)):
                self.say("link", type(one).__qualname__, one.data)
            else:
                raise Unknown(type(one).__qualname__)

    def _class(self, kind: type) -> None:
        """Add a class: by its name, and by the file of its module where that is no part of the toolchain."""
        if type(getattr(kind, "key", None)).__name__ == "ExternFunction":
            # A function that is declared here and written elsewhere.
            raise Unknown(kind.__qualname__)
        self.say("class", kind.__module__, kind.__qualname__)
        if kind.__module__.partition(".")[0] not in _TOOLCHAIN:
            path = getattr(sys.modules.get(kind.__module__), "__file__", None)
            if path is None:
                raise Unknown(kind.__qualname__)
            self.say("file", _file_digest(path))
        # What another module's constants may have made of that file.
        self.say("fields", getattr(kind, "_fields", ()))
        if issubclass(kind, enum.Enum):
            self.say("members", [(name, repr(one.value)) for name, one in kind.__members__.items()])

    def _function(self, function: types.FunctionType) -> None:
        code = function.__code__
        # An installed package is walked as any other: its kernels have helpers in other files, and a factory makes several of one name.
        own = str(function.__module__).partition(".")[0] in _TOOLCHAIN and _installed(code.co_filename)
        if own or _of_python(code.co_filename):
            self.say("installed", function.__module__, function.__qualname__)
            if not own:
                self.say("file", _file_digest(code.co_filename))
            return
        for one in _codes(code):
            constants = [
                repr(sorted(map(repr, part)) if isinstance(part, frozenset) else part)
                for part in one.co_consts
                if not isinstance(part, types.CodeType)
            ]
            self.say("code", one.co_code, constants, one.co_names, one.co_varnames, one.co_freevars, one.co_exceptiontable)
            if self.lines:
                self.say("lines", one.co_filename, one.co_firstlineno, one.co_linetable)
        names = frozenset(name for one in _codes(code) for name in one.co_names)
        for name in sorted(names & function.__globals__.keys()):
            self.say("global", name)
            self.visit(function.__globals__[name], names)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self.say("cell", name)
            if cell != types.CellType():
                self.visit(cell.cell_contents, names)
        self.visit(function.__defaults__)
        self.visit(function.__kwdefaults__)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield from _codes(one)

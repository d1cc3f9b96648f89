"""What one process of a session has the compiler do: every request once, as many as possible in one child."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.static.architectures import architecture, occupancy
from pytest_gpuperf.static.asking import request_for, simulates
from pytest_gpuperf.static.compiling import Compiler
from pytest_gpuperf.static.declared import meant, read_rows
from pytest_gpuperf.static.model import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_gpuperf.progress import Telling
    from pytest_gpuperf.static.declared import Declared
    from pytest_gpuperf.static.model import Compiled, Request


class Offline:
    """The compiler of a session: declared rows, what was compiled so far, and what is to be compiled along with the first request.

    `modules` have the KERNELS rows, `archs` are the architectures of a session without a GPU; in `folder` the processes of a run wait for each other, so
    that none compiles what another does; `normal` and `place_of` spell signatures and kernels as launches have them.
    """

    def __init__(
        self,
        modules: Sequence[str],
        archs: Sequence[str],
        folder: Path | None,
        normal: Callable[[str], str],
        place_of: Callable[[Any], tuple[str, str]],
    ) -> None:
        """Compile nothing yet."""
        self.modules, self.archs = tuple(modules), tuple(archs)
        self._folder, self._normal, self._place_of = folder, normal, place_of
        self._compiler: Compiler | None = None
        self._rows: tuple[Declared, ...] | None = None
        self._done: dict[str, Compiled] = {}
        #: What was compiled, by requests without block and dynamic shared memory: these change no code.
        self._code: dict[str, Compiled] = {}
        #: Overloads of declared kernels that cases have answered for, by place and signature.
        self.told: set[tuple[tuple[str, str], str]] = set()
        #: Gives, for a block, what tells how many kernels are done.
        self.telling: Callable[[], contextlib.AbstractContextManager[Telling | None]] = contextlib.nullcontext
        #: Whether more than one case asks: then all declared rows are compiled with the first request, in one child.
        self.several = False
        #: Names of the rows that these cases have as parameters: where there are some, only those.
        self.chosen: frozenset[str] = frozenset()

    @property
    def rows(self) -> tuple[Declared, ...]:
        """The declared rows; StaticError, in one line, for a module that declares none."""
        if self._rows is None:
            self._rows = read_rows(self.modules, self._normal, self._place_of)
        return self._rows

    def request(
        self,
        kernel: Any,
        signature: str | None,
        arch: str,
        *,
        block: int | None = None,
        dynamic_shared: int = 0,
        options: Mapping[str, Any] | None = None,
    ) -> Request | Reason:
        """Return the request for a kernel or a row; StaticError, in one line, for an architecture that there is not, and for what is no kernel."""
        architecture(arch)
        spelled = None if signature is None else self._normal(signature)
        return request_for(kernel, spelled, arch, self.rows, block=block, dynamic_shared=dynamic_shared, options=options)

    def compiled(self, requests: Sequence[Request]) -> list[Compiled]:
        """Return what requests compile to; what was compiled before is not compiled again."""
        keys = [_key(one) for one in requests]
        for key, one in zip(keys, requests, strict=True):
            near = self._code.get(_key(_anyhow(one)))
            if key not in self._done and near is not None:
                self._done[key] = launched_as(near, one)
        missing = {key: one for key, one in zip(keys, requests, strict=True) if key not in self._done}
        if missing:
            if self.several:
                self.several = False
                missing |= {key: one for key, one in ((_key(one), one) for one in self._ahead()) if key not in self._done}
            with self._alone():
                answers = self._compile(list(missing.values()))
            self._done |= dict(zip(missing, answers, strict=True))
            self._code |= {_key(_anyhow(one)): answer for one, answer in zip(missing.values(), answers, strict=True) if answer.code_hash is not None}
        return [self._done[key] for key in keys]

    def _compile(self, requests: Sequence[Request]) -> Sequence[Compiled]:
        """Compile in children that live as long as the session: the next request does not wait for their imports."""
        if self._compiler is None:
            self._compiler = Compiler()
        with self.telling() as self._compiler.telling:
            return self._compiler.compile(requests)

    def meant(self, place: tuple[str, str], signature: str) -> str:
        """Return the signature that a launch has on a device, where the simulator's is another and a declared row says so."""
        return meant(place, signature, self.rows) if simulates() else signature

    def close(self) -> None:
        """End the children."""
        if self._compiler is not None:
            self._compiler.close()
            self._compiler = None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process of a run compile at a time: the next finds what it needs in the cache."""
        if self._folder is None:
            yield
            return
        from filelock import FileLock

        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / "compile.lock"):
            yield

    def _ahead(self) -> list[Request]:
        rows = [row for row in self.rows if not self.chosen or row.name in self.chosen]
        asked = [
            request_for(row.kernel, row.signature, arch, [row], block=row.block, dynamic_shared=row.dynamic_shared) for arch in self.archs for row in rows
        ]
        return [one for one in asked if not isinstance(one, Reason)]


def _anyhow(request: Request) -> Request:
    return dataclasses.replace(request, block=None, dynamic_shared=0)


def launched_as(one: Compiled, request: Request) -> Compiled:
    """Return a compiled kernel as another launch of it has it: its occupancy is of that launch's block and dynamic shared memory."""
    numbers, reasons = dict(one.quantities), dict(one.reasons)
    numbers.pop("occupancy", None)
    reasons.pop("occupancy", None)
    if request.block is None:
        reasons["occupancy"] = ("no-block", "")
    else:
        shared = int(numbers["shared"]) + request.dynamic_shared
        numbers["occupancy"] = occupancy(architecture(one.arch), request.block, int(numbers["registers"]), shared, int(numbers["barriers"]))
    return dataclasses.replace(one, quantities=numbers, reasons=reasons, block=request.block, dynamic_shared=request.dynamic_shared)


def _key(request: Request) -> str:
    return json.dumps(plain(request), sort_keys=True, default=str)

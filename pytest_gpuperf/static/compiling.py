"""All that is asked of the compiler: requests in, one answer each out, through the store."""

from __future__ import annotations

import base64
import dataclasses
from typing import TYPE_CHECKING, Any, Self

from pytest_gpuperf.errors import StaticError
from pytest_gpuperf.static import cache, disassemble, workers
from pytest_gpuperf.static.answers import answered, refused, unmeasured
from pytest_gpuperf.static.architectures import architecture
from pytest_gpuperf.static.elf import read
from pytest_gpuperf.static.model import Reference, Request, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from pytest_gpuperf.progress import Telling
    from pytest_gpuperf.static.model import Compiled

#: Fewer kernels than this a process are not worth the second that its start takes.
_WORTH = 4


@dataclasses.dataclass(slots=True)
class _Found:
    """What is known of one request: machine code and its key in the store, or the answer that there is none."""

    code: cache.Code | None = None
    key: str | None = None
    answer: Compiled | None = None


class Compiler:
    """Compiles kernels in child processes that do not simulate; they live until `close`, or the end of a with statement.

    `store` is the folder of what was compiled before, by default the user's; `processes` are the children at most, `timeout` the seconds for one kernel.
    """

    def __init__(self, *, store: Path | None = None, processes: int = 2, timeout: float = workers.TIMEOUT) -> None:
        self.store = store or cache.default()
        self._pool = workers.Pool(self.store, most=processes, timeout=timeout)
        #: Who is told how many kernels are done; None where nobody is.
        self.telling: Telling | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the children."""
        self.close()

    def close(self) -> None:
        """End the children."""
        self._pool.close()

    def kernels(self, module: str, arch: str) -> list[Request]:
        """Return a request for each kernel of a module: of its KERNELS, of its package's, or of its decorated kernels with signatures of their own.

        StaticError where it cannot be imported, and where it has none.
        """
        architecture(arch)
        told = self._pool.run([{"task": "rows", "module": module}], workers=1)[0]
        if isinstance(told, workers.Gone):
            message = f"{module}: {told.detail}"
            raise StaticError(message)
        if "error" in told:
            raise StaticError(told["error"])
        if not told["rows"]:
            message = f"{module} has no kernels to compile: neither rows in KERNELS of it or of its package, nor kernels whose decorator has a signature"
            raise StaticError(message)
        return [Request(arch=arch, **{**row, "reference": Reference(**row["reference"])}) for row in told["rows"]]

    def compile(self, requests: Sequence[Request]) -> list[Compiled]:
        """Return what each request compiles to, in their order.

        A kernel that does not compile has `error`; what could not be done has reasons. StaticError for an unknown architecture.
        """
        for request in requests:
            architecture(request.arch)
        requests = [*requests]
        groups: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault(_same(request), []).append(place)
        found = [_Found() for _ in requests]
        missing = self._stored(requests, [*groups.values()], found)
        self._built(requests, missing, found)
        unreadable = self._disassembled(requests, found)
        answers = (
            one.answer if one.code is None else answered(request, one.code, unreadable.get(place))
            for place, (request, one) in enumerate(zip(requests, found, strict=True))
        )
        return [answer for answer in answers if answer is not None]

    def _stored(self, requests: list[Request], groups: list[list[int]], found: list[_Found]) -> list[list[int]]:
        """Fill in what the store has, and return the places that are left, those of one kernel together."""
        loaded: dict[str, cache.Code | None] = {}
        told = self._pool.run([_task("keys", [requests[place] for place in places]) for places in groups], workers=1, told=self._told("lookup"))
        for places, answer in zip(groups, told, strict=True):
            for place in places:
                if isinstance(answer, workers.Gone):
                    found[place].answer = unmeasured(requests[place], answer.code, answer.detail, self._pool.versions)
                elif "error" in answer:
                    found[place].answer = refused(requests[place], answer["error"], self._pool.versions)
                else:
                    # A kernel whose decorator has signatures is launched as one of those.
                    requests[place] = dataclasses.replace(requests[place], signature=answer["signature"])
                    key = found[place].key = answer["keys"][requests[place].arch]
                    if requests[place].arch in answer["stored"]:
                        if key not in loaded:
                            loaded[key] = cache.load(self.store, key)
                        found[place].code = loaded[key]
        left = [[place for place in places if found[place].answer is None and found[place].code is None] for places in groups]
        return [places for places in left if places]

    def _built(self, requests: Sequence[Request], groups: list[list[int]], found: list[_Found]) -> None:
        """Fill in what is left by compiling it: kernels of the same sources once."""
        alike: dict[object, list[int]] = {}
        for number, places in enumerate(groups):
            keys = tuple(sorted({found[place].key or f"group {number}" for place in places}))
            alike.setdefault(keys, []).extend(places)
        groups = [*alike.values()]
        count = max(1, min(self._pool.most, -(-len(groups) // _WORTH)))
        told = self._pool.run([_task("compile", [requests[place] for place in places]) for places in groups], workers=count, told=self._told("static"))
        for places, answer in zip(groups, told, strict=True):
            for place in places:
                request, one = requests[place], found[place]
                if isinstance(answer, workers.Gone):
                    one.answer = unmeasured(request, answer.code, answer.detail, self._pool.versions)
                    continue
                built = answer if "error" in answer else answer["built"][request.arch]
                if "error" in built:
                    one.answer = refused(request, built["error"], self._pool.versions)
                    continue
                one.code = cache.Code(base64.b64decode(built["cubin"]), built["entry"], built["ptx"], built["spills"], dict(self._pool.versions))

    def _told(self, phase: str) -> Callable[[int, int], None] | None:
        """Begin a phase, and return what is told how far it is."""
        if self.telling is None:
            return None
        self.telling.phase(phase)
        return self.telling.count

    def _disassembled(self, requests: Sequence[Request], found: list[_Found]) -> dict[int, disassemble.Unreadable]:
        """Fill in the text of what has none yet, store it, and return what cannot be read."""
        missing: dict[tuple[str, bytes], list[int]] = {}
        for place, one in enumerate(found):
            if one.code is not None and one.code.sass is None:
                row = architecture(requests[place].arch)
                missing.setdefault((row.target, read(one.code.cubin, one.code.entry, in_section=row.in_section).text), []).append(place)
        if not missing:
            return {}
        path = disassemble.find()
        release = disassemble.version(path) if path else ""
        unreadable = {}
        for places, text in zip(missing.values(), disassemble.disassemble([*missing], path), strict=True):
            for place in places:
                one = found[place]
                if one.code is None:
                    continue
                if isinstance(text, str):
                    one.code = dataclasses.replace(one.code, sass=text, versions={**one.code.versions, "nvdisasm": release})
                else:
                    unreadable[place] = text
                if one.key is not None:
                    cache.save(self.store, one.key, one.code)
        return unreadable


def compile_all(
    requests: Sequence[Request], *, store: Path | None = None, processes: int = 2, timeout: float = workers.TIMEOUT
) -> list[Compiled]:
    """Return what each request compiles to, as Compiler does, and end its children."""
    with Compiler(store=store, processes=processes, timeout=timeout) as compiler:
        return compiler.compile(requests)


def _same(request: Request) -> str:
    """Return what requests have in common that compiling one kernel answers."""
    told = plain(request)
    return repr((told["reference"], told["signature"], sorted(told["options"].items())))


def _task(kind: str, requests: list[Request]) -> dict[str, Any]:
    told = plain(requests[0])
    archs = [*dict.fromkeys(request.arch for request in requests)]
    return {"task": kind, "reference": told["reference"], "signature": told["signature"], "options": told["options"], "archs": archs}

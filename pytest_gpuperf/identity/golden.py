"""Golden: what an array held when somebody last looked, as a line of a reviewed file beside the suite."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.arrays import resolved
from pytest_gpuperf.errors import GpuPerfError, NotIdentical
from pytest_gpuperf.identity.bits import as_words, difference
from pytest_gpuperf.identity.formats import FloatFormat, format_of, is_nan
from pytest_gpuperf.identity.held import Held

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_gpuperf.device.arrays import ArrayView
    from pytest_gpuperf.device.operations import Operations

#: Arrays of at most so many bytes are kept whole beside the file, where nobody says otherwise.
KEPT_BYTES = 4096
UPDATE = "--gpuperf-update-golden"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One line of a golden file; the counts are None for what has no NaN and no sign of zero."""

    digest: str
    dtype: str
    shape: tuple[int, ...]
    nan: int | None = None
    negative_zero: int | None = None

    def line(self, name: str) -> str:
        """Return the line, as it stands in the file and in a diff.

        >>> Entry("00000000000000ff", "int8", (2, 3)).line("cache")
        '"cache": {"digest": "00000000000000ff", "dtype": "int8", "shape": [2, 3]}'
        """
        record = {key: value for key, value in dataclasses.asdict(self).items() if value is not None}
        return f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(record)}"


def entry_of(held: Held) -> Entry:
    """Return the entry of an array; its bytes come to the host."""
    array, packed = held.array, held.bytes()
    nan, negative = counts(as_words(packed, array.dtype, array.itemsize), format_of(array.dtype))
    return Entry(f"{held.digest():016x}", array.dtype, array.shape, nan, negative)


def counts(words: Any, form: FloatFormat | None) -> tuple[int | None, int | None]:
    """Return how many words are NaN and how many -0.0; None for integers, bool and records.

    >>> import numpy as np
    >>> counts(np.array([-0.0, 0.0, np.nan], np.float32).view(np.uint32), format_of("float32"))
    (1, 1)
    """
    if form is None:
        return None, None
    negative = int((words == 1 << (form.bits - 1)).sum()) if form.signed and form.lone_nan is None else 0
    return int(is_nan(words, form).sum()), negative


def read_file(path: Path) -> dict[str, Entry]:
    """Return the entries of a golden file by name, none where there is no file; GpuPerfError where it cannot be read."""
    if not path.exists():
        return {}
    try:
        given = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
        return {name: Entry(**one | {"shape": tuple(one["shape"])}) for name, one in given.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise GpuPerfError(f"golden: {path}: cannot be read ({type(error).__name__}: {error})\nMend it by hand, or delete it and run with {UPDATE}.") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; a name that stands there twice, as a merge leaves it, is no entry."""
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} stands there twice")
    return dict(pairs)


def text_of(entries: Mapping[str, Entry]) -> str:
    """Return a golden file's text: a line an entry, by name."""
    lines = ",\n".join(f"  {entries[name].line(name)}" for name in sorted(entries))
    return f"{{\n{lines}\n}}\n"


def copy_path(path: Path, key: str) -> Path:
    """Return where the copy of an entry's array lies; two names never share one.

    >>> copy_path(Path("golden/test_it.json"), "decode out/4").as_posix()
    'golden/test_it/decode-out-4-d7f1fc94.npy'
    """
    plain = re.sub(r"[^A-Za-z0-9_.]+", "-", key).strip("-.")[:60]
    return path.parent / path.stem / f"{plain}-{hashlib.blake2s(key.encode('utf-8', 'surrogatepass'), digest_size=4).hexdigest()}.npy"


class Goldens:
    """The golden files of one session in one process: what was asked for, and what was written."""

    def __init__(self, root: Path | None = None, *, update: bool = False) -> None:
        """Touch nothing; `root` is what paths in messages are relative to."""
        self.root, self.update = root, update
        #: By golden file: the keys that a test asked for.
        self.used: dict[Path, set[str]] = {}
        #: Lines of the diff, by golden file.
        self.changes: dict[Path, list[str]] = {}
        self._written: dict[tuple[Path, str], tuple[Entry, str]] = {}

    def check(self, path: Path, key: str, array: object, who: str, *, keep: bool | None, operations: Operations | None) -> str:
        """Hold an array against its entry, or write that; return what was done, or raise NotIdentical. `who` is the case that asks."""
        view = resolved(array)
        held = Held(key, view, operations)
        if operations is not None and view.place == "device":
            operations.backend.synchronize()
        self.used.setdefault(path, set()).add(key)
        return self._write(path, key, held, who, keep) if self.update else self._compare(path, key, held)

    def named(self, path: Path) -> str:
        """Return a path as messages show it."""
        return path.relative_to(self.root).as_posix() if self.root is not None and path.is_relative_to(self.root) else str(path)

    def _compare(self, path: Path, key: str, held: Held) -> str:
        entries = read_file(path)
        known = entries.get(key)
        if known is None:
            near = difflib.get_close_matches(key, entries, 1)
            has = f"{self.named(path)} has no entry {key!r}" if path.exists() else f"there is no {self.named(path)}"
            raise NotIdentical(f"golden: {has}{f' (nearest {near[0]!r})' if near else ''}: run with {UPDATE} to write it, and review the file")
        array = held.array
        if (array.dtype, array.shape) != (known.dtype, known.shape):
            raise NotIdentical(f"golden: {array.dtype} of shape {list(array.shape)}, and in {self.named(path)} {known.dtype} of shape {list(known.shape)}")
        if f"{held.digest():016x}" == known.digest:
            now = entry_of(held)
            if now != known:
                raise NotIdentical(f"golden: the bits are those of {self.named(path)}, whose line was edited: {known.line(key)}, needs {now.line(key)}")
            return f"{_elements(array)}, as in {self.named(path)}"
        copy = _read_copy(copy_path(path, key), known, array)
        found = difference(held.bytes(), copy, array.shape, array.dtype, array.itemsize) if copy is not None else ""
        if found:
            raise NotIdentical(f"{found.partition(chr(10))[0]} (this run != {self.named(path)}){''.join(found.partition(chr(10))[1:])}")
        now = entry_of(held)
        apart = [f"digest {now.digest} != {known.digest}"]
        pairs = (("NaN", now.nan, known.nan), ("-0.0", now.negative_zero, known.negative_zero))
        apart += [f"{what} {one} != {other}" for what, one, other in pairs if one is not None and one != other]
        raise NotIdentical(f"bits differ from {self.named(path)}: {', '.join(apart)} (no copy of the array was kept: golden(..., keep=True) shows the elements)")

    def _write(self, path: Path, key: str, held: Held, who: str, keep: bool | None) -> str:
        import filelock

        entry = entry_of(held)
        mine = self._written.get((path, key))
        if mine is not None and mine[0] != entry:
            raise NotIdentical(
                f"golden: {mine[1]} has written other bits as {key!r} in this run ({mine[0].digest}, now {entry.digest}); give each its own name, as f'{key}-{{parameter}}'"
            )
        self._written.setdefault((path, key), (entry, who))
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(_lock_path(path)):
            entries = read_file(path)
            known = entries.get(key)
            if known != entry:
                entries[key] = entry
                self.changes.setdefault(path, []).extend([f"- {known.line(key)}"] if known else [])
                self.changes[path].append(f"+ {entry.line(key)}")
                _replace(path, text_of(entries).encode("utf-8"))
            _write_copy(copy_path(path, key), held, entry, keep=held.array.nbytes <= KEPT_BYTES if keep is None else keep)
        return f"{_elements(held.array)}, {'unchanged' if known == entry else 'written'} in {self.named(path)}"


def _lock_path(path: Path) -> Path:
    """Return the lock of a golden file: not beside it, as it stays when all is done."""
    who = f"{path.resolve()}\0{Path.home()}".encode("utf-8", "surrogatepass")
    return Path(tempfile.gettempdir()) / f"gpuperf-golden-{hashlib.blake2s(who, digest_size=8).hexdigest()}.lock"


def _elements(array: ArrayView) -> str:
    return f"{array.elements:,} element{'' if array.elements == 1 else 's'} of {array.dtype}"


def _read_copy(path: Path, known: Entry, array: ArrayView) -> Any:
    """Return the bytes of a copy that is of an entry; None where there is none, or one of other bits."""
    import numpy as np

    from pytest_gpuperf.device.digest import digest_bytes

    try:
        packed = np.load(path, allow_pickle=False).reshape(-1).view(np.uint8)
    except (OSError, ValueError):
        return None
    return packed if packed.nbytes == array.nbytes and f"{digest_bytes(packed):016x}" == known.digest else None


def _write_copy(path: Path, held: Held, entry: Entry, *, keep: bool) -> None:
    import io

    import numpy as np

    if not keep:
        path.unlink(missing_ok=True)
        return
    if _read_copy(path, entry, held.array) is not None:
        return
    packed = held.bytes()
    try:
        dtype = np.dtype(entry.dtype)
    except (TypeError, ValueError, SyntaxError):  # bfloat16 and its like have no NumPy name
        dtype = np.dtype(f"u{held.array.itemsize}" if held.array.itemsize in {1, 2, 4, 8} else "u1")
    whole = packed.view(dtype).reshape(entry.shape) if dtype.itemsize == held.array.itemsize else packed
    file = io.BytesIO()
    np.save(file, whole, allow_pickle=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, file.getvalue())


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole, or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)

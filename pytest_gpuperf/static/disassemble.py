"""Machine code as text: nvdisasm once for all kernels of an architecture, since it needs longer to start than to read."""

from __future__ import annotations

import dataclasses
import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Bytes of an instruction.
_SIZE = 16
_LINE = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(.+?)\s*;", re.MULTILINE)
#: Instructions whose last operand is a place in the code.
_JUMP = re.compile(r"^((?:@!?U?P\w+\s+)?(?:BRA|BRX|BSSY|CALL|JMP|JMX|RET|WARPSYNC)\b.*?)0x([0-9a-f]+)$")
_TIMEOUT = 120


@dataclasses.dataclass(frozen=True, slots=True)
class Unreadable:
    """Why there is no text of some machine code: a code of REASONS and what nvdisasm said."""

    code: str
    detail: str


def find() -> str | None:
    """Return the path of nvdisasm: of the package nvidia-cuda-nvdisasm, of a CUDA toolkit, or on the PATH; None where there is none."""
    try:
        from cuda.pathfinder import find_nvidia_binary_utility

        found = find_nvidia_binary_utility("nvdisasm")
    except (ImportError, RuntimeError, ValueError):
        found = None
    return str(found) if found else shutil.which("nvdisasm")


def version(path: str) -> str:
    """Return the release of an nvdisasm, "" where it does not say."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\bV(\d+(?:\.\d+)+)", done.stdout)
    return found[1] if found else ""


def disassemble(codes: Sequence[tuple[str, bytes]], path: str | None = None) -> list[str | Unreadable]:
    """Return the text of each (architecture as "sm_90a", machine code), or why there is none; what cannot be read costs no other its text.

    `path` is that of nvdisasm; by default it is looked for.
    """
    path = path or find()
    if path is None:
        return [Unreadable("no-nvdisasm", "")] * len(codes)
    found: list[str | Unreadable] = [Unreadable("no-disassembly", "")] * len(codes)
    for target in sorted({target for target, _ in codes}):
        places = [place for place, (its, _) in enumerate(codes) if its == target]
        texts = _together([codes[place][1] for place in places], functools.partial(_text, path, target))
        for place, text in zip(places, texts, strict=True):
            found[place] = text
    return found


def _together(codes: list[bytes], read: Callable[[bytes], str | Unreadable]) -> list[str | Unreadable]:
    """Read several codes as one; where that fails, in halves."""
    if not codes:
        return []
    text = read(b"".join(codes))
    if isinstance(text, str):
        parts = split(text, [len(code) for code in codes])
        if parts is not None:
            return list(parts)
        text = Unreadable("no-disassembly", "nvdisasm left instructions out")
    if len(codes) == 1:
        return [text]
    half = len(codes) // 2
    return _together(codes[:half], read) + _together(codes[half:], read)


def split(text: str, sizes: Sequence[int]) -> list[str] | None:
    r"""Return the text of each part of a disassembly, its addresses from 0 on; None where an instruction is missing.

    >>> split("/*0000*/ EXIT ;\n/*0010*/ BRA 0x10 ;", [16, 16])
    ['/*0000*/ EXIT ;', '/*0000*/ BRA 0x0 ;']
    """
    lines = {int(address, 16): body for address, body in _LINE.findall(text)}
    found, begin = [], 0
    for size in sizes:
        bodies = [lines.get(at) for at in range(begin, begin + size, _SIZE)]
        if None in bodies:
            return None
        found.append("\n".join(f"/*{number * _SIZE:04x}*/ {_moved(str(body), begin)} ;" for number, body in enumerate(bodies)))
        begin += size
    return found


def _moved(body: str, begin: int) -> str:
    jump = _JUMP.match(body)
    return f"{jump[1]}{int(jump[2], 16) - begin:#x}" if jump and int(jump[2], 16) >= begin else body


def _text(path: str, target: str, code: bytes) -> str | Unreadable:
    with tempfile.TemporaryDirectory(prefix="gpuperf-") as folder:
        file = Path(folder) / "text"
        file.write_bytes(code)
        command = [path, "-b", target.replace("sm_", "SM"), "-ndf", str(file)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT, errors="replace")
        except (OSError, subprocess.TimeoutExpired) as error:
            return Unreadable("no-nvdisasm", str(error).splitlines()[0])
    if done.returncode:
        said = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[0]
        return Unreadable("no-disassembly", re.sub(r"^nvdisasm\s+\w+\s*:\s*", "", said))
    return done.stdout

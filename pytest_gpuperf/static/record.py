"""A compiled kernel as the run file has it: texts are packed, and code stands without what differs between two compilations of one kernel."""

from __future__ import annotations

import base64
import re
import zlib
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import Reason, reason_record
from pytest_gpuperf.static.explain import mix_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_gpuperf.static.model import Compiled

#: Addresses and encodings of a disassembly.
_NOISE = re.compile(r"/\*(?:0x)?[0-9a-f]+\*/")
_OPERANDS = re.compile(r"^((?:@!?U?P[T0-9]+ )?[A-Z][A-Z0-9_.]*)(?= |;).*$")


def record_of(one: Compiled, measurements: Iterable[str], *, failed: bool) -> dict[str, Any]:
    """Return what the run file has of a compiled kernel; SASS and PTX whole only where a limit on it `failed`."""
    listing = instructions_of(one.sass)
    return {
        "kernel": one.kernel, "arch": one.arch, "signature": one.signature, "block": one.block, "dynamic_shared": one.dynamic_shared,
        "measurements": list(measurements), "quantities": dict(one.quantities),
        "holes": {name: reason_record(Reason(*why), f"{name} of {one.kernel} on {one.arch}") for name, why in one.reasons.items()},
        "code_hash": one.code_hash, "toolchain": dict(one.toolchain), "mix": mix_of(listing),
        "opcodes": packed(opcodes_of(listing)), "sass": packed(listing) if failed else None, "ptx": packed(one.ptx) if failed else None, "error": one.error,
    }  # fmt: skip


def instructions_of(sass: str) -> str:
    r"""Return a disassembly without addresses, encodings and empty lines: what two compilations of one kernel have in common.

    >>> print(instructions_of("  /*0000*/   LDC R1, c[0x0][0x28] ;  /* 0x00000a00ff017b82 */\n\n  .L_x_1:\n"))
    LDC R1, c[0x0][0x28] ;
    .L_x_1:
    """
    lines = (re.sub(r"\s+", " ", _NOISE.sub("", re.sub(r"/\* 0x[0-9a-f]+ \*/", "", line))).strip() for line in sass.splitlines())
    return "\n".join(line for line in lines if line)


def opcodes_of(listing: str) -> str:
    r"""Return the opcodes of a disassembly, a line each: what is left where registers and addresses, which move with everything, are not looked at.

    >>> opcodes_of("@!P0 LDG.E.128 R4, [R2] ;\n.L_x_1:\nEXIT ;")
    '@!P0 LDG.E.128\n.L_x_1:\nEXIT'
    """
    return "\n".join(_OPERANDS.sub(r"\1", line) for line in listing.splitlines())


def packed(text: str) -> str | None:
    """Return a text as base64 of zlib; None for an empty one.

    >>> unpacked(packed("BRA")), packed("")
    ('BRA', None)
    """
    return base64.b64encode(zlib.compress(text.encode("utf-8", "surrogatepass"), 9)).decode("ascii") if text else None


def unpacked(text: str | None) -> str:
    """Return what `packed` packed; an empty text for None, and for what is none of its own."""
    if not text:
        return ""
    try:
        return zlib.decompress(base64.b64decode(text)).decode("utf-8", "replace")
    except (ValueError, zlib.error):
        return ""

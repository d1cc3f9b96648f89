"""Work: what the author of a body says that it must move and compute."""

from __future__ import annotations

import dataclasses
import difflib


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """One row of KINDS: a kind of arithmetic and what one of its operations is."""

    name: str
    meaning: str


KINDS: tuple[Kind, ...] = (
    Kind("fp64", "double precision"),
    Kind("fp32", "single precision, outside the tensor cores"),
    Kind("tf32", "single precision rounded to tf32, in the tensor cores"),
    Kind("fp16", "half precision in the tensor cores"),
    Kind("bf16", "bfloat16 in the tensor cores"),
    Kind("fp8", "e4m3 or e5m2 in the tensor cores"),
    Kind("int8", "8-bit integers in the tensor cores"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """State the least that one call of a body must read, write and compute.

    `reads` and `writes` are bytes of device memory, `flops` operations of the arithmetic `kind`, a row of KINDS; a multiply-add is two.

    >>> Work(reads=4096, writes=4096).bytes
    8192
    """

    reads: int = 0
    writes: int = 0
    flops: int = 0
    kind: str = "fp32"

    def __post_init__(self) -> None:
        """Refuse negative or fractional amounts, and an unknown kind."""
        names = [row.name for row in KINDS]
        if self.kind not in names:
            near = difflib.get_close_matches(str(self.kind), names, 1)
            message = f"Work(kind={self.kind!r}): " + (f"unknown kind; nearest {near[0]!r}" if near else f"needs one of {', '.join(names)}")
            raise ValueError(message)
        for name in ("reads", "writes", "flops"):
            amount = getattr(self, name)
            if isinstance(amount, bool) or int(amount) != amount or amount < 0:
                message = f"Work({name}={amount!r}): needs a whole number of {'operations' if name == 'flops' else 'bytes'}, 0 or more"
                raise ValueError(message)
            object.__setattr__(self, name, int(amount))

    @property
    def bytes(self) -> int:
        """Bytes read and written together."""
        return self.reads + self.writes

"""Work: what the author of a body says that it must move and compute."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """State the least that one call of a body must read, write and compute.

    `reads` and `writes` are bytes of device memory, `flops` operations of the arithmetic `kind`.

    >>> Work(reads=4096, writes=4096).bytes
    8192
    """

    reads: int = 0
    writes: int = 0
    flops: int = 0
    kind: str = "fp32"

    def __post_init__(self) -> None:
        """Refuse negative or fractional amounts."""
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

"""What a verb says: its result on stdout, remarks and errors on stderr, a line each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def say(lines: Iterable[str]) -> None:
    """Write lines to stdout."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def remark(verb: str, lines: Iterable[str]) -> None:
    """Write lines to stderr, each headed by the command that says them."""
    sys.stderr.write("".join(f"gpuperf {verb}: {line}\n" for line in lines))

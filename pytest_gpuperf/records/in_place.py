"""Which outputs are written where they stand: what no other file may take the place of."""

from __future__ import annotations

from pathlib import Path


def in_place(path: Path) -> bool:
    """Tell whether a path is a device, a pipe or a terminal: written to, and never replaced by a file.

    >>> in_place(Path("/dev/stdout")), in_place(Path("reports/latest.html"))
    (True, False)
    """
    return path.parent == Path("/dev") or (path.exists() and not path.is_file() and not path.is_dir())


def adds_to_step(path: Path | None, step: str | None) -> bool:
    """Tell whether a path is the file of the step itself, which is added to and never replaced: it holds what earlier commands wrote."""
    return bool(path is not None and step and path.resolve() == Path(step).resolve())

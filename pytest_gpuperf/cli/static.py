"""gpuperf static: what the kernels of a module compile to, without a GPU."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gpuperf.errors import StaticError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pytest_gpuperf.static.model import Compiled

#: The architectures that are compiled for where none is named: A100, H100 and H200, B200.
ARCHS = ("sm_80", "sm_90", "sm_100")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "module",
        metavar="MODULE",
        help="a module with a list KERNELS, one of a package with such a list, or one whose kernels declare their signatures",
    )
    parser.add_argument(
        "--arch", action="append", metavar="SM", help=f"an architecture, as sm_90; may be given several times (default: {', '.join(ARCHS)})"
    )
    parser.add_argument("--kernel", metavar="PART", help="only kernels whose name has this in it")
    parser.add_argument("--sass", action="store_true", help="print the machine code of each kernel too")
    parser.add_argument("--store", type=Path, metavar="DIR", help="where compiled kernels are kept (default: the user's cache directory)")


def run(options: argparse.Namespace) -> int:
    """Compile and print the table; 1 where a kernel does not compile."""
    from pytest_gpuperf.cli.output import say
    from pytest_gpuperf.passing import telling_on
    from pytest_gpuperf.static.compiling import Compiler

    if (here := str(Path.cwd())) not in sys.path:
        # As `python -m` has it: a module of the folder that one stands in.
        sys.path.insert(0, here)
    archs = options.arch or [*ARCHS]
    with Compiler(store=options.store, processes=os.cpu_count() or 1) as compiler:
        rows = [row for row in compiler.kernels(options.module, archs[0]) if options.kernel is None or options.kernel in row.name]
        if not rows:
            message = f"no kernel of {options.module} has {options.kernel!r} in its name"
            raise StaticError(message)
        with telling_on(sys.stderr) as compiler.telling:
            found = compiler.compile([dataclasses.replace(row, arch=arch) for row in rows for arch in dict.fromkeys(archs)])
    say(
        [
            *table(found),
            *(line for one in found if options.sass and one.sass for line in ("", f"{one.kernel} on {one.arch}", *one.sass.splitlines())),
        ]
    )
    return 1 if any(one.error for one in found) else 0


def table(found: Sequence[Compiled]) -> Iterator[str]:
    """Yield the table of what kernels compiled to, a line each, then what there is to say of what has no number."""
    from pytest_gpuperf.static.model import QUANTITIES

    heads = ("kernel", "arch", *QUANTITIES, "code")
    lines = [
        heads,
        *((one.kernel, one.arch, *(_cell(one, name) for name in QUANTITIES), (one.code_hash or "")[:8]) for one in found if not one.error),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines if len(lines) > 1 else ():
        yield "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
    yield from (f"error: {one.error}" for one in found if one.error)
    yield from dict.fromkeys(
        f"- is UNMEASURED {code}{f': {detail}' if detail else ''}" for one in found for code, detail in one.reasons.values()
    )
    versions = next((one.toolchain for one in found if one.toolchain), {})
    if versions:
        yield "compiled by " + ", ".join(
            f"{name} {versions[name]}" for name in ("numba-cuda", "nvvm", "nvjitlink", "nvdisasm") if name in versions
        )


def _cell(one: Compiled, name: str) -> str:
    number = one.quantities.get(name)
    if number is None:
        return "-"
    return f"{number:.0f}%" if name == "occupancy" else f"{number:.0f}"

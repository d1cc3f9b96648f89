"""Put deliberate regressions into a copy of this repository: what the example page of the README shows was made by them.

`python tools/regressions.py COPY` changes the files under COPY, which must not be this repository itself. Each is what a change to a kernel
might do by mistake, and each is found by another means.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True, slots=True)
class Regression:
    """One change: the file, the text that it replaces (once in it), by what, and what finds it."""

    file: str
    old: str
    new: str
    found_by: str


REGRESSIONS: tuple[Regression, ...] = (
    Regression(
        "kernels/staging.py",
        "    byte = VECTOR * vectors + lane\n",
        "    byte = VECTOR * vectors + lane + 1\n",
        "bits: the first byte behind the vectors of a row stays unwritten",
    ),
    Regression(
        "kernels/staging.py",
        "            copy_twos(key, k, key_cache, kc, value, v, value_cache, vc, lane, cuda.blockDim.x, vectors)\n",
        "            copy_ones(key, k, key_cache, kc, value, v, value_cache, vc, lane, cuda.blockDim.x, vectors)\n",
        "machine code and bandwidth: half as many loads are under way",
    ),
    Regression(
        "kernels/masks.py",
        "        drafts = int32(end - start)\n",
        "        drafts = int32(end - start)\n"
        "        spare = cuda.local.array(32, int32)\n"
        "        spare[uint32(lane)] = drafted\n"
        "        drafted = spare[uint32(lane ^ int32(int32(columns) >> 30))]\n",
        "machine code: an array whose index only the run knows lies in local memory",
    ),
    Regression(
        "kernels/compression.py",
        "WIDE = (Launch(40, 16, 8), Launch(72, 32, 8), Launch(MANY, 32, 4))\n",
        "WIDE = (Launch(40, 16, 8), Launch(72, 32, 8), Launch(MANY, 32, 1))\n",
        "time: the launch shape of large batches",
    ),
    Regression(
        "suites/test_masks_speed.py",
        "            launch()\n",
        "            launch()\n            prepared.inputs[0].cpu()\n",
        "UNMEASURED sync: the body copies to the host, which waits",
    ),
)


def apply(copy: Path) -> list[str]:
    """Change the files of a copy; returns a line for each. SystemExit where a text is not there exactly once, or the copy is this repository."""
    if copy.resolve() == ROOT:
        raise SystemExit("name a copy of this repository, not the repository itself")
    lines = []
    for one in REGRESSIONS:
        path = copy / one.file
        text = path.read_text(encoding="utf-8")
        if text.count(one.old) != 1:
            raise SystemExit(f"{one.file}: {text.count(one.old)} times, not once: {one.old.strip()}")
        path.write_text(text.replace(one.old, one.new), encoding="utf-8")
        lines.append(f"{one.file}: {one.found_by}")
    return lines


def main() -> None:
    """Change the copy that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("copy", type=Path, metavar="COPY", help="a folder with a copy of this repository")
    print("\n".join(apply(parser.parse_args().copy)))


if __name__ == "__main__":
    main()

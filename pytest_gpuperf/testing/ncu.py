"""FakeNcu: an `ncu` to put on PATH, which runs its target for real and reports counters that a test made up."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SCRIPT = Path(__file__).with_name("ncu_script.py")


#: What it lists as the counters of its chip, unless a test says otherwise: those behind all short names, and the time of a kernel.
LISTING = (
    "dram__bytes_read", "dram__bytes_write", "dram__throughput", "gpu__time_duration", "l1tex__data_bank_conflicts_pipe_lsu_mem_shared",
    "l1tex__t_bytes_pipe_lsu_mem_local_op_ld", "l1tex__t_bytes_pipe_lsu_mem_local_op_st", "l1tex__t_sectors_pipe_lsu_mem_global_op_ld",
    "l1tex__t_sectors_pipe_lsu_mem_global_op_st", "lts__t_sectors_op_read", "lts__t_sectors_op_write", "sm__throughput", "sm__warps_active", "sm__warps_launched",
)  # fmt: skip


class FakeNcu:
    """Write an executable `ncu` into a folder; it profiles what its target, a child session, says that it measured.

    `bodies` gives the kernels of a measurement, by "function/measurement": a list with one mapping of counters a kernel, an empty one for a body that
    launches nothing. Other measurements have one kernel, with `counters`. Counters that neither names are 1000, those of `lacks` are not in the
    report, as if the chip had none. `says` is an error that ncu gives in place of a report; `version` and `listing`, names without suffix, are what it answers.

    >>> import tempfile
    >>> fake = FakeNcu(tempfile.mkdtemp(), bodies={"test_commit/main": [{"dram__bytes_write.sum": 4e9}]})
    >>> fake.environment()["PATH"].startswith(str(fake.folder))
    True
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        bodies: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
        counters: Mapping[str, float] | None = None,
        lacks: Sequence[str] = (),
        listing: Sequence[str] = LISTING,
        says: str = "",
        version: str = "2025.3.1.0",
    ) -> None:
        """Write the program and what it is to say."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        spec: dict[str, Any] = {
            "bodies": {name: [dict(one) for one in kernels] for name, kernels in (bodies or {}).items()},
            "counters": dict(counters or {}), "lacks": list(lacks), "listing": list(listing), "says": says, "version": version,
        }  # fmt: skip
        (self.folder / "ncu.json").write_text(json.dumps(spec), encoding="utf-8")
        program = self.folder / "ncu"
        program.write_text(f"#!{sys.executable} -I\n" + _SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
        program.chmod(0o755)

    def environment(self) -> dict[str, str]:
        """Return the PATH under which a session finds this ncu first."""
        return {"PATH": os.pathsep.join([str(self.folder), os.environ.get("PATH", "")])}

    @property
    def starts(self) -> list[list[str]]:
        """The command lines that it profiled with, oldest first."""
        log = self.folder / "starts.jsonl"
        return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []

"""The fields of a kernel that was compiled without being launched: its resources, its machine code, and what made it."""

from __future__ import annotations

from pytest_gpuperf.records.field import Field

COMPILED: tuple[Field, ...] = (
    Field("kernel", "text", "", "name of the kernel, or of its KERNELS row"),
    Field("arch", "text", "", "architecture, as sm_90"),
    Field("signature", "text", "", "types of its arguments, as numba writes them"),
    Field("block", "int?", "1", "threads of a block, for the occupancy"),
    Field("dynamic_shared", "int", "B", "shared memory that the launch adds"),
    Field("measurements", "[text]", "", "measurements whose bodies launched it; none where the test asked for it"),
    Field("quantities", "{number}", "", "by quantity, in its unit"),
    Field("holes", "{reason}", "", "by quantity, why it has no number"),
    Field("code_hash", "text?", "", "hash of machine code, constants and resources, never of names; null where there is no machine code"),
    Field("toolchain", "{text}", "", "versions of what compiled it"),
    Field("mix", "{int}", "", "instructions by kind, as LDG"),
    Field("opcodes", "text?", "", "opcodes of the disassembled code, a line each: base64 of zlib"),
    Field("sass", "text?", "", "disassembled code without addresses, of kernels that failed: base64 of zlib"),
    Field("ptx", "text?", "", "PTX, of kernels that failed: base64 of zlib"),
    Field("error", "text?", "", "why it was not compiled"),
)

"""RATES: our own kernels that only compute, one launch shape a row; the fastest of a kind is its roof."""

from __future__ import annotations

import dataclasses

#: Operands as (mask, low): the noise that keeps signs, mantissas and two bits of the exponents, so that they lie in 1/8 to 2.
_BF16 = (0x81FF81FF, 0x3E003E00)
_FP16 = (0x8FFF8FFF, 0x30003000)
_FP8 = (0x9F9F9F9F, 0x20202020)
_FP32 = (0x007FFFFF, 0x3F000000)
#: The arguments of each of these kernels; a sink of 0 stores nothing.
ARGUMENTS = ("rounds", "extra", "mask", "low", "sink")


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """One row of RATES: an entry of a module and a shape to launch it in.

    `since` and `before` are the compute capabilities it is for; a round of one worker, which is `lanes` threads, is `flops` operations. The grid is at most
    `blocks_per_sm` a multiprocessor. `operands` are the mask and the low bits that make the noise, see the module.
    """

    kind: str
    kernel: str
    module: str
    instruction: str
    since: tuple[int, int]
    before: tuple[int, int]
    lanes: int
    flops: int
    operands: tuple[int, int]
    threads: int
    blocks_per_sm: int

    def grid(self, flops: int, sm_count: int) -> tuple[int, int, int]:
        """Return blocks, rounds of every worker, and how many workers do one more: together at least so many operations.

        >>> row = next(row for row in RATES if row.kernel == "wgmma_bf16")
        >>> row.grid(2 * 8192**3, 132), row.grid(1, 132)
        ((132, 1985, 248), (1, 0, 1))
        """
        rounds = max(1, -(-flops // self.flops))
        workers = self.threads // self.lanes
        blocks = min(self.blocks_per_sm * sm_count, rounds)
        return blocks, rounds // (blocks * workers), rounds % (blocks * workers)


#: mma.sync does not reach the rate of the tensor cores on sm_90, nor on sm_100 and sm_110, which have instructions that are not here: what has no row is UNMEASURED.
RATES: tuple[Rate, ...] = (
    Rate("fp32", "fma_fp32", "rates_sm70", "fma.rn.f32", (7, 0), (13, 0), 32, 16384, _FP32, 1024, 2),
    Rate("fp32", "fma_fp32", "rates_sm70", "fma.rn.f32", (7, 0), (13, 0), 32, 16384, _FP32, 256, 8),
    Rate("bf16", "mma_bf16", "rates_sm80", "mma.m16n8k16.f32.bf16", (8, 0), (9, 0), 32, 65536, _BF16, 256, 2),
    Rate("bf16", "mma_bf16", "rates_sm80", "mma.m16n8k16.f32.bf16", (12, 0), (13, 0), 32, 65536, _BF16, 256, 2),
    Rate("bf16", "wgmma_bf16", "rates_sm90a", "wgmma.m64n256k16.f32.bf16", (9, 0), (9, 1), 128, 2097152, _BF16, 256, 1),
    Rate("fp16", "mma_fp16", "rates_sm80", "mma.m16n8k16.f32.f16", (8, 0), (9, 0), 32, 65536, _FP16, 256, 2),
    Rate("fp16", "mma_fp16", "rates_sm80", "mma.m16n8k16.f32.f16", (12, 0), (13, 0), 32, 65536, _FP16, 256, 2),
    Rate("fp16", "mma_fp16_half", "rates_sm80", "mma.m16n8k16.f16.f16", (8, 0), (9, 0), 32, 65536, _FP16, 256, 2),
    Rate("fp16", "mma_fp16_half", "rates_sm80", "mma.m16n8k16.f16.f16", (12, 0), (13, 0), 32, 65536, _FP16, 256, 2),
    Rate("fp16", "wgmma_fp16", "rates_sm90a", "wgmma.m64n256k16.f32.f16", (9, 0), (9, 1), 128, 2097152, _FP16, 256, 1),
    Rate("fp8", "mma_fp8", "rates_sm89", "mma.m16n8k32.f32.e4m3", (8, 9), (9, 0), 32, 131072, _FP8, 256, 2),
    Rate("fp8", "mma_fp8", "rates_sm89", "mma.m16n8k32.f32.e4m3", (12, 0), (13, 0), 32, 131072, _FP8, 256, 2),
    Rate("fp8", "wgmma_fp8", "rates_sm90a", "wgmma.m64n256k32.f32.e4m3", (9, 0), (9, 1), 128, 4194304, _FP8, 256, 1),
)


def rates_of(kind: str, capability: tuple[int, int]) -> tuple[Rate, ...]:
    """Return the rows for a kind of arithmetic on a device.

    >>> [row.kernel for row in rates_of("bf16", (8, 6))], rates_of("bf16", (10, 0))
    (['mma_bf16'], ())
    """
    return tuple(row for row in RATES if row.kind == kind and row.since <= capability < row.before)

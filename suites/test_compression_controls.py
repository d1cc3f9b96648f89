"""KV compression's negative controls, which identity must catch and a tolerance lets through; and calls that must not be launched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kernels import compression, compression_controls
from pytest_gpuperf import NotIdentical
from suites.compressed import Engine
from suites.place import SIMULATED

CONTROLS = {row.name: row for row in compression_controls.CONTROLS}


@pytest.fixture(scope="module")
def pooled(place):
    """An engine after a step that completed a window, and that window's row as float32."""

    class Compared:
        def identical(self, got, wanted):
            assert torch.equal(got.cpu().view(torch.int8), wanted.cpu().view(torch.int8))

    engine = Engine(Compared(), place, 128, 128, out="float32", tokens=128, seed=20)
    return engine, engine.decode([128], [4])


def controlled(place, engine, name):
    output = place.full((1, 128), 7.0, "float32")
    compression_controls.run(CONTROLS[name], *engine.tensors, *engine.tables, output, request=0, window=0, row=0)
    return output


def test_same_partitions_and_our_exp_give_the_same_bits(gpuperf, place, pooled):
    engine, wanted = pooled
    gpuperf.identical(controlled(place, engine, "ours"), place.put(wanted))


@pytest.mark.parametrize("name", ["serial", "expf"])
def test_negative_controls_are_close_and_not_identical(gpuperf, place, pooled, name):
    engine, wanted = pooled
    output = controlled(place, engine, name)
    assert np.allclose(output.cpu().numpy(), wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(NotIdentical):
        gpuperf.identical(output, place.put(wanted))


def arrays(place, **changes):
    """A decode step of two requests in order, as plan_decode takes it, with some arrays changed."""
    return tuple(named(place, **changes).values())


def named(place, **changes):
    """The same, by name."""
    made = {
        "kv_score": place.full((4, 512), 0.0, "bfloat16"), "ape": place.full((4, 256), 0.0, "float32"),
        "paged_kv": place.full((6, 8, 256), 0.0, "float32"), "paged_score": place.full((6, 8, 256), 0.0, "float32"),
        "block_table_kv": place.put(np.array([[0, 1], [2, 3]], np.int32)), "block_table_score": place.put(np.array([[4, 1], [2, 5]], np.int32)),
        "kv_lens": place.put(np.array([9, 4], np.int32)), "cu_seq_lens": place.put(np.array([0, 2, 4], np.int32)),
        "cu_kv_comp": place.put(np.array([0, 1, 2], np.int32)), "output": place.full((2, 128), 0.0, "bfloat16"),
    }  # fmt: skip
    assert changes.keys() <= made.keys()
    return made | {name: change(made[name]) for name, change in changes.items()}


@pytest.mark.parametrize(
    ("changes", "words", "error", "message"),
    [
        ({}, {"next_n": 0}, ValueError, "next_n: 0 new tokens a request; hd128-r4-bfloat16-float32 takes 1 to 8"),
        ({}, {"next_n": 9}, ValueError, "next_n: 9 new tokens a request; hd128-r4-bfloat16-float32 takes 1 to 8"),
        ({}, {"next_n": 1}, ValueError, "kv_score: 4 rows for 2 requests of at most 1 new tokens"),
        ({"kv_score": lambda a: a.to(torch.float16)}, {}, TypeError, "kv_score: dtype float16, needs bfloat16 or float32"),
        ({"paged_score": lambda a: a.to(torch.bfloat16)}, {}, TypeError, "paged_score: dtype bfloat16 beside paged_kv's float32"),
        ({"block_table_kv": lambda a: a.to(torch.int64)}, {}, TypeError, "block_table_kv: dtype int64, needs int32"),
        ({"block_table_score": lambda a: a[:1]}, {}, ValueError, "block_table_score: 1 rows, needs 2 for 2 requests"),
        ({"paged_kv": lambda a: a[0]}, {}, ValueError, r"paged_kv: shape \(8, 256\) has 2 dimensions, needs 3"),
        ({"paged_kv": lambda a: torch.zeros(6, 8, 257, device=a.device)[:, :, :256]}, {}, ValueError, "paged_kv: address .* must be multiples of 16 bytes"),
        ({"paged_kv": lambda a: torch.zeros(6, 8, 260, device=a.device)[:, :, 1:257]}, {}, ValueError, "paged_kv: address .* must be multiples of 16"),
        ({"paged_kv": lambda a: torch.zeros(6, 8, 256, 2, device=a.device)[..., 0]}, {}, ValueError, "paged_kv: elements 8 bytes apart, needs 4"),
        ({"paged_kv": lambda a: a[:1].expand(6, 8, 256)}, {}, ValueError, r"paged_kv: strides \(0, 1024, 4\) make rows overlap"),
        ({"paged_kv": lambda a: torch.zeros(8, 6, 256, device=a.device).transpose(0, 1)}, {}, ValueError, r"paged_kv: strides \(1024, 6144, 4\) make rows overlap, or do not descend"),
        ({"paged_kv": lambda a: torch.zeros(9999, device=a.device).as_strided((6, 1, 256), (128, 0, 1)), "paged_score": lambda a: a[:, :1]}, {},
         ValueError, r"paged_kv: strides \(512, 0, 4\) make rows overlap"),
        ({"ape": lambda a: a.to("meta")}, {}, TypeError, "ape: a torch tensor on meta, but the kernels run"),
        ({"paged_score": lambda a: a[:, :4]}, {}, ValueError, "paged_score: 4 rows a page, needs 8"),
        ({"output": lambda a: a.repeat(1, 2)}, {}, ValueError, "ape: 256 columns, needs 512 for 2 requests, R 4 and HD 256"),
        ({"ape": lambda a: a.repeat(2, 1)}, {}, ValueError, "ape: 256 columns, needs 128 for 2 requests, R 8 and HD 128"),
        ({"ape": lambda a: a[:, :128].repeat(2, 1), "kv_score": lambda a: a[:, :256], "paged_kv": lambda a: a[:, :, :128], "paged_score": lambda a: a[:, :, :128]},
         {}, ValueError, "no configuration hd128-r8-bfloat16-float32 in CONFIGS; nearest: hd128-r4-bfloat16-float32, hd128-r128-bfloat16-float32"),
        ({}, {"threads": (5, 2)}, ValueError, "threads: 5 lanes x 2; takes lanes of 8, 16, 32 and rows that divide 16"),
        ({}, {"threads": (8, 3)}, ValueError, "threads: 8 lanes x 3; takes"),
        ({}, {"threads": (8, 32)}, ValueError, "threads: 8 lanes x 32; takes"),
        ({"block_table_kv": lambda a: a + 4}, {"validate": True}, ValueError, "block_table_kv: page 6 in block 0 of request 1, paged_kv has 6"),
        ({"block_table_score": lambda a: a - 3}, {"validate": True}, ValueError, "block_table_score: page -2 in block 1 of request 0, paged_score has 6"),
        ({"kv_lens": lambda a: a + 16}, {"validate": True}, ValueError, "block_table_kv: 2 blocks of request 0, whose 25 tokens need 4"),
        ({"kv_lens": lambda a: a - 8}, {"validate": True}, ValueError, "kv_lens: 1 of request 0 with 2 new tokens"),
        ({"cu_seq_lens": lambda a: a * 2}, {"validate": True}, ValueError, "cu_seq_lens: runs from 0 to 8, needs 0 to at most 4"),
        ({"cu_seq_lens": lambda a: a.new_tensor([0, 3, 4])}, {"validate": True}, ValueError, "cu_seq_lens: 3 new tokens of request 0, takes 0 to 2"),
        ({"kv_lens": lambda a: a.new_tensor([-1, 4]), "cu_seq_lens": lambda a: a.new_tensor([0, 0, 2])}, {"validate": True}, ValueError, "kv_lens: -1 of request 0 with 0 new"),
        ({"block_table_kv": lambda a: a.new_tensor([[0, 1], [1, 3]])}, {"validate": True}, ValueError,
         "block_table_kv: row 0 of page 1 is written by request 0, and request 1 uses it too"),
        ({"cu_kv_comp": lambda a: a * 0}, {"validate": True}, ValueError, "cu_kv_comp: 0 rows of request 0, which completes 1 windows"),
    ],
)  # fmt: skip
def test_what_cannot_be_launched_is_refused_before(place, changes, words, error, message):
    with pytest.raises(error, match=f"^{message}"):
        compression.plan_decode(*arrays(place, **changes), **{"next_n": 2} | words)


@pytest.mark.parametrize("written", ["paged_kv", "paged_score", "output"])
def test_what_is_written_shares_no_memory(place, written):
    made = named(place, paged_kv=lambda a: a[:, :4], paged_score=lambda a: a[:, :4])
    both = torch.zeros(6, 4, 512, device=place.where)
    other = "paged_score" if written == "paged_kv" else "paged_kv"
    made |= {other: both[:, :, :256], written: both[0, :2, 252:380] if written == "output" else both[:, :, 252:508]}
    first, second = sorted((written, other), key=list(made).index)
    with pytest.raises(ValueError, match=f"^{first}: shares memory with {second}, and is written$"):
        compression.plan_decode(*made.values(), next_n=2)


def test_pages_that_no_row_needs_may_be_anything(place):
    compression.decode(*arrays(place, block_table_kv=lambda a: torch.where(a == 3, 99, a)), next_n=2, validate=True)


def test_rows_may_have_gaps(gpuperf, place):
    # kv and score side by side in one allocation, and tables that are part of a wider one.
    engine = Engine(gpuperf, place, 4, 128, tokens=24, seed=21)
    both = torch.cat(engine.tensors, dim=2)
    engine.tensors = [both[:, :, :256], both[:, :, 256:]]
    engine.tables = [torch.nn.functional.pad(table, (0, 3), value=9999)[:, : table.shape[1]] for table in engine.tables]
    engine.decode([9], [6])
    engine.prefill([9], [8])


@pytest.mark.skipif(not SIMULATED, reason="NumPy arrays are of the simulator")
def test_numbers_of_the_other_byte_order_are_refused(place):
    with pytest.raises(TypeError, match=r"^kv_lens: int32 of the other byte order \(>i4\); copy it first$"):
        compression.plan_decode(*arrays(place, kv_lens=lambda a: a.numpy().astype(">i4")), next_n=2)


def test_no_requests(place):
    compression.decode(*arrays(place, kv_score=lambda a: a[:0], block_table_kv=lambda a: a[:0], block_table_score=lambda a: a[:0],
                               kv_lens=lambda a: a[:0], cu_seq_lens=lambda a: a[:1], cu_kv_comp=lambda a: a[:1], output=lambda a: a[:0]), next_n=2)  # fmt: skip


def test_the_example_of_its_page_runs():
    text = (Path(__file__).parents[1] / "docs" / "compression.md").read_text(encoding="utf-8")
    left = {}
    exec(text.partition("```python\n")[2].partition("```")[0], left)  # noqa: S102 - our own page
    assert left["pooled"].float().abs().min(dim=1).values.gt(0).sum() == 2

"""Known-wrong kernels, each by its name: the check that finds it, what that says, and a right twin that passes the same check."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import pytest

from kernels import compression, masks
from pytest_gpuperf import NotClose, NotIdentical
from suites import wrong_calls, wrong_masks, wrong_pages, wrong_places, wrong_steps, wrong_values
from suites.batches import batch
from suites.launches import bound, flat
from suites.place import SIMULATED

#: Threads of a block, and elements of most arrays here: no multiple of them.
THREADS, SIZE = 8, 60
FULL = -(-SIZE // THREADS)


def same_sums(gpuperf, place, wrong):
    source = gpuperf.rng().standard_normal((wrong_values.ROWS, 32)).astype(np.float32)
    out = place.full((32,), 0, "float32")
    body = bound(wrong_values.sums_in_one if wrong else wrong_values.sums_in_parts, 1, 32, place.put(source), out)
    # Everything but identity with a reference in the same order lets it through.
    gpuperf.deterministic(body, outputs=[out], runs=2)
    parts = source.reshape(-1, wrong_values.DEPTH, 32)
    reference = place.put(functools.reduce(np.add, [functools.reduce(np.add, part) for part in parts]))
    gpuperf.close(out, reference, atol=1e-5)
    gpuperf.identical(out, reference)


def values(gpuperf, place, size=SIZE):
    """Return numbers that no two calls share, and what a kernel writes into."""
    return gpuperf.rng().standard_normal(size).astype(np.float32), place.full((size,), 0, "float32")


@contextlib.contextmanager
def right():
    """Tell that a twin is wrong where both must be right: that is not what was looked for."""
    try:
        yield
    except NotIdentical as error:
        pytest.fail(f"wrong where it should be right: {error}")


def no_negative_zero(gpuperf, place, wrong):
    source, out = values(gpuperf, place)
    bound(wrong_values.relu_by_product if wrong else wrong_values.relu, FULL, THREADS, place.put(source), out)()
    reference = place.put(np.maximum(source, np.float32(0)))
    gpuperf.close(out, reference, ulp=0)
    gpuperf.identical(out, reference)


def payloads(gpuperf, place, wrong):
    source, out = values(gpuperf, place)
    source[7] = np.uint32(0x7FC01234).view(np.float32)
    given = place.put(source)
    bound(wrong_values.copy_canonical if wrong else wrong_values.copy_bits, FULL, THREADS, flat(given, "int32"), flat(out, "int32"))()
    gpuperf.close(out, given, ulp=0)
    gpuperf.identical(out, given)


def not_zeros(gpuperf, place, wrong):
    source, out = values(gpuperf, place)
    bound(wrong_values.zeroed if wrong else wrong_values.scaled, FULL, THREADS, place.put(source), out)()
    reference = source * wrong_values.SMALL
    assert np.allclose(out.cpu().numpy(), reference, rtol=0, atol=1e-6)
    gpuperf.close(out, place.put(reference), atol=1e-6)


def input_kept(gpuperf, place, wrong):
    source, out = values(gpuperf, place)
    given = place.put(source)
    body = bound(wrong_values.magnitudes_in_place if wrong else wrong_values.magnitudes_apart, FULL, THREADS, given, out)
    # The output is right, and every time.
    gpuperf.deterministic(body, outputs=[out], runs=2)
    gpuperf.identical(out, place.put(np.abs(source) * 2))
    gpuperf.identical(given, place.put(source), name="input")


def counting(gpuperf, place, kernel, size=64):
    """Return a body that counts its calls, its output, and what that must hold."""
    source, out = values(gpuperf, place, size)
    return bound(kernel, 1, size, place.full((1,), 0, "int32"), place.put(source), out), out, place.put(source * 2)


def repeated(kernel):
    def check(gpuperf, place, wrong):
        body, out, _ = counting(gpuperf, place, kernel if wrong else wrong_calls.doubled_always, THREADS)
        gpuperf.deterministic(body, outputs=[out], runs=20)

    return check


def of_these_inputs(gpuperf, place, wrong):
    kernel = wrong_calls.doubled_from_cache if wrong else wrong_calls.doubled_anew
    calls, kept = place.full((1,), 0, "int32"), place.full((THREADS,), 0, "float32")
    for number in range(2):
        source, out = values(gpuperf, place, THREADS)
        body = bound(kernel, 1, THREADS, calls, kept, place.put(source), out)
        # From one input it is the same every time.
        gpuperf.deterministic(body, outputs=[out], runs=2)
        gpuperf.identical(out, place.put(source * 2), name=f"input {number + 1}")


def whole(gpuperf, place, wrong):
    source, _ = values(gpuperf, place)
    out = gpuperf.guarded(SIZE, name="out")
    blocks = SIZE // THREADS if wrong else FULL
    bound(wrong_places.doubled, blocks, THREADS, place.put(source), flat(out.array), SIZE)()
    out.check()


def inside(gpuperf, place, wrong):
    source, _ = values(gpuperf, place, SIZE + 1)
    out = gpuperf.guarded(SIZE, name="out")
    kernel = wrong_places.doubled_past_the_end if wrong else wrong_places.doubled
    bound(kernel, FULL, THREADS, place.put(source), flat(out.array, more=1), SIZE)()
    out.check()


def ordered(gpuperf, place, wrong):
    threads = 8 if SIMULATED else 256
    source = place.put(np.arange(threads, dtype=np.int32))
    scratch, out = (place.full((threads,), 0, "int32") for _ in range(2))
    body = bound(wrong_places.mirrored_too_soon if wrong else wrong_places.mirrored, 1, threads, source, scratch, out)
    gpuperf.deterministic(body, outputs=[out, scratch])
    numbers = np.arange(threads)
    for i in range(threads):
        for _ in range(8 * i):
            numbers[i] = (numbers[i] * wrong_places.FACTOR + wrong_places.STEP) & wrong_places.MASK
    gpuperf.identical(out, place.put((numbers[::-1] + 1).astype(np.int32)))


def totalled(gpuperf, place, wrong):
    """Return a body that adds 2**20 numbers into a few totals, and these."""
    source, out = values(gpuperf, place, 1 << 20)
    blocks = len(source) // wrong_places.TREE if wrong else wrong_places.TOTALS
    kernel = wrong_places.totals_by_atomics if wrong else wrong_places.totals_in_order
    totals = out[: wrong_places.TOTALS]
    launch = bound(kernel, blocks, wrong_places.TREE, place.put(source), totals)
    return lambda: (totals.zero_(), launch())[1], totals


def every_time(gpuperf, place, wrong):
    body, totals = totalled(gpuperf, place, wrong)
    gpuperf.deterministic(body, outputs=[totals])


def engine(gpuperf, place, plan, shape, **words):
    """Return an engine of one request whose decode steps go by a plan."""
    ratio, head_dim = shape
    made = wrong_steps.Stepped(gpuperf, place, ratio, head_dim, **{"tokens": 2 * ratio + 16, "seed": 30} | words)
    made.plan = plan
    return made


def moved_page(gpuperf, place, wrong, shape=(4, 128)):
    made = engine(gpuperf, place, wrong_steps.plan_first_tables() if wrong else compression.plan_decode, shape)
    end = max(8, shape[0])
    with right():
        made.decode([end - 2], [1])
    made.move_pages()
    # A window with rows of the page that has moved.
    made.decode([end], [2])


def two_tables(gpuperf, place, wrong, shape=(4, 128)):
    made = engine(gpuperf, place, wrong_steps.plan_one_table if wrong else compression.plan_decode, shape)
    for step in (0, 1):
        # The same tables first, then such as differ in each entry.
        made.host.score_table[:] = (made.host.kv_table + step) % len(made.host.kv)
        made.tables[1].copy_(place.put(made.host.score_table))
        made.host.score[:] = made.numbers(made.host.score.shape, made.state)
        made.tensors[1].copy_(place.put(made.host.score, made.state))
        with right() if step == 0 else contextlib.nullcontext():
            made.decode([2 * shape[0]], [2])


def whole_pages(gpuperf, place, wrong):
    for page in (8, 12, 6):
        made = engine(gpuperf, place, wrong_pages.plan_by_window if wrong else wrong_pages.plan_by_row, (4, 128), page=page)
        # Of the window from 4 to 8 pages of six hold two rows each.
        with right() if page % 4 == 0 else contextlib.nullcontext():
            made.decode([9], [4])


def five_new(gpuperf, place, wrong, shape=(4, 128)):
    made = engine(gpuperf, place, wrong_steps.plan_four_new if wrong else compression.plan_decode, shape)
    with right():
        made.decode([shape[0] + 2], [4])
    made.decode([2 * shape[0] + 2], [6])


def boundaries(gpuperf, place, wrong):
    case = batch([2, 1], [10, 11, 20], [[10, 99, 0], [20, 0, 0]])
    arrays = [place.put(array) for array in case.arrays]
    accepted, mask = place.full((2,), 0, "int32"), place.full((3,), True, "bool")
    if wrong:
        bound(wrong_masks.left_sided, 1, 4, *arrays, 3, 3, accepted, flat(mask, "uint8"))()
    else:
        masks.plan(*arrays, accepted, mask, **({"lanes": 4, "requests": 2} if SIMULATED else {}))()
    gpuperf.identical(mask, place.put(case.wanted[1]), name="mask")


@dataclasses.dataclass(frozen=True)
class Wrong:
    """One wrong kernel: its name, the check that both twins get, and what that says of the wrong one; `gpu` where the simulator has none of it."""

    name: str
    check: Callable
    says: str
    error: type = NotIdentical
    gpu: bool = False


ROWS = (
    Wrong("partial-sum order changed", same_sums, r"^bits differ: \d+ of 32 elements, first at \[\d+\]: 0x[0-9a-f]+ != 0x[0-9a-f]+ \(\d+ ulp\)"),
    Wrong("sum by atomics", every_time, r"^run-to-run change: outputs\[0\] has other bits in \d+ of 10 calls beside contention and in \d+ of 10 without", gpu=True),
    Wrong("wrong after call 10", repeated(wrong_calls.doubled_until_call_10), r"^wrong from call 11 on: outputs\[0\] has other bits than after the 10 calls before; on call 11: 1 of 8 elements, first at \[5\]"),
    Wrong("wrong only on call 11", repeated(wrong_calls.doubled_but_on_call_11), r"^wrong only on call 11( \(beside contention\))?: outputs\[0\] has other bits than after 19 of 20 calls; on call 11: 1 of 8 elements"),
    Wrong("returns a cached result", of_these_inputs, "^input 2: bits differ: 8 of 8 elements"),
    Wrong("does nothing after warm-up", repeated(wrong_calls.doubled_at_first), r"^not written: 8 of 8 elements of outputs\[0\] keep the poison, first at \[0\]; wrong from call 4 on"),
    Wrong("last block unwritten", whole, r"^out: not written: 4 of 60 elements hold the poison, first at \[56\]"),
    Wrong("one element past the end", inside, r"^out: written outside: 1 element after the end, nearest at flat index 60 of an array of 60"),
    Wrong("-0.0 for 0.0", no_negative_zero, r"^bits differ: [^\n]*\(sign of zero\), largest 0 ulp[^\n]*\nthey differ only in the sign of zero"),
    Wrong("NaN payload changed", payloads, r"^bits differ: 1 of 60 elements, first at \[7\]: 0x7fc00000 != 0x7fc01234 \(NaN payload\)[^\n]*\nthey differ only in NaN payloads"),
    Wrong("zeros that pass an absolute tolerance", not_zeros, "^the output is 0 in all 60 elements, while the reference runs from", NotClose),
    Wrong("race between phases without a barrier", ordered, r"^run-to-run change: outputs\[0\] has other bits"),
    Wrong("input mutated", input_kept, r"^input: bits differ: \d+ of 60 elements"),
    Wrong("stale state page read", moved_page, "^bits differ: "),
    Wrong("wrong only when the two tables differ", two_tables, "^bits differ: "),
    Wrong("wrong only when page_size % R != 0", whole_pages, "^bits differ: "),
    Wrong("wrong only at next_n > 4", five_new, "^bits differ: "),
    Wrong("request-boundary off-by-one in masks", boundaries, r"^mask: bits differ: 1 of 3 elements, first at \[2\]: 0x00 != 0x01"),
)  # fmt: skip


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name, marks=pytest.mark.gpuperf(gpu=True) if row.gpu else []) for row in ROWS])
def test_the_wrong_one_is_caught_and_its_twin_is_not(gpuperf, place, row):
    row.check(gpuperf, place, wrong=False)
    with pytest.raises(row.error, match=row.says):
        row.check(gpuperf, place, wrong=True)


def told_by_measure(kernel):
    def body(gpuperf, place, wrong):
        made, out, _ = counting(gpuperf, place, kernel if wrong else wrong_calls.doubled_always)
        return made, [out]

    return body


def last_block(gpuperf, place, wrong):
    source, out = values(gpuperf, place)
    return bound(wrong_places.doubled, SIZE // THREADS if wrong else FULL, THREADS, place.put(source), out, SIZE), [out]


def racing(gpuperf, place, wrong):
    scratch, out = (place.full((256,), 0, "int32") for _ in range(2))
    kernel = wrong_places.mirrored_too_soon if wrong else wrong_places.mirrored
    return bound(kernel, 1, 256, place.put(np.arange(256, dtype=np.int32)), scratch, out), [out, scratch]


def atomics(gpuperf, place, wrong):
    body, totals = totalled(gpuperf, place, wrong)
    return body, [totals]


#: Bodies with their outputs, and what `measure` says of the wrong ones, which no clock needs to run beside.
MEASURED = {
    "sum by atomics": (atomics, r"^changed between calls: outputs\[0\]"),
    "wrong after call 10": (told_by_measure(wrong_calls.doubled_until_call_10), r"^changed between calls: outputs\[0\] has other bits after calls 1 to 10 than after later ones"),
    "wrong only on call 11": (told_by_measure(wrong_calls.doubled_but_on_call_11), r"^changed between calls: outputs\[0\] has other bits after call 11 than after later ones"),
    "does nothing after warm-up": (told_by_measure(wrong_calls.doubled_at_first), r"^not written: 64 of 64 elements of outputs\[0\] keep the poison"),
    "last block unwritten": (last_block, r"^not written: 4 of 60 elements of outputs\[0\] keep the poison, first at \[56\]"),
    "race between phases without a barrier": (racing, r"^changed between calls: outputs\[0\]"),
}  # fmt: skip


@pytest.mark.gpuperf(gpu=True)
@pytest.mark.usefixtures("measuring")
@pytest.mark.parametrize("name", MEASURED)
def test_measure_catches_it_too(gpuperf, place, name):
    build, says = MEASURED[name]
    body, outputs = build(gpuperf, place, wrong=False)
    assert gpuperf.measure(body, outputs=outputs, name="right").details["checked"] != "unchecked"
    body, outputs = build(gpuperf, place, wrong=True)
    with pytest.raises(NotIdentical, match=says):
        gpuperf.measure(body, outputs=outputs, name="wrong")


@pytest.mark.gpuperf(gpu=True)
@pytest.mark.usefixtures("measuring")
def test_measure_tells_of_an_input_that_its_first_call_changed(gpuperf, place):
    for kernel, notes in ((wrong_values.magnitudes_apart, 0), (wrong_values.magnitudes_in_place, 1)):
        source, out = values(gpuperf, place)
        given = place.put(source)
        body = functools.partial(lambda kernel, given, out: bound(kernel, FULL, THREADS, given, out)(), kernel)
        made = gpuperf.measure(body, given, out, outputs=[out], name=f"notes: {notes}")
        assert sum("the first call changed argument 0" in note for note in made.details["notes"]) == notes


@pytest.mark.gpuperf(gpu=True)
@pytest.mark.parametrize("check", [pytest.param(row.check, id=row.name) for row in ROWS if row.check in (moved_page, two_tables, five_new)])
def test_long_windows_too(gpuperf, place, check):
    check(gpuperf, place, wrong=False, shape=(128, 512))
    with pytest.raises(NotIdentical, match=r"^bits differ: "):
        check(gpuperf, place, wrong=True, shape=(128, 512))

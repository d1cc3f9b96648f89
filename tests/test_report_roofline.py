"""The roofline: every body with work and a time has its place, its own roof, its link, and nothing is made up."""

from __future__ import annotations

import random
import re
from html import unescape
from typing import Any

import pytest
from run_files import assemble, case, make_run

from pytest_gpuperf.format import visible
from pytest_gpuperf.report.html import render
from pytest_gpuperf.report.roofline import rooflines
from pytest_gpuperf.report.svg_roofline import LINKED

HOSTILE = 'tests/t.py::test["/><script>alert(1)</script> &\u202e]'


def body(index: int, time_s: float, *, moved: int = 1 << 27, flops: int = 0, roofs: dict[str, float] | None = None, verdict: str = "PASS", kind: str = "fp32") -> dict[str, Any]:
    """Return a case whose one measurement took a time for a work, with roofs in seconds."""
    made = case(index, verdict, random.Random(index))
    main = made["measurements"][0]
    main["values"]["time"]["number"] = time_s
    main["work"] = {"reads": moved // 2, "writes": moved - moved // 2, "flops": flops, "kind": kind} if moved or flops else None
    main["roofs"] = [{"of": what, "how": "move", "time": {"unit": "s", "number": seconds, "low": seconds, "high": seconds}} for what, seconds in (roofs or {}).items()]
    return made


def drawn(*cases: dict[str, Any]) -> Any:
    found = rooflines(assemble(list(cases)))
    assert found is not None
    return found


def heights(svg: str) -> dict[str, tuple[float, float]]:
    """Return the place of every linked circle by its title's first node id."""
    found = re.findall(r"<title>(.*?)</title>.*?<circle[^>]*cx=\"([\d.]+)\" cy=\"([\d.]+)\"", svg)
    return {unescape(title).split()[1]: (float(x), float(y)) for title, x, y in found}


def test_a_body_stands_at_its_bytes_and_bandwidth_below_its_own_roof() -> None:
    fast, slow = body(1, 4e-5, roofs={"bytes": 3.2e-5}), body(2, 8e-5, roofs={"bytes": 3.2e-5})
    shown = drawn(fast, slow)
    (svg,) = shown.pictures
    places = heights(svg)
    assert places[fast["nodeid"]][0] == places[slow["nodeid"]][0], "the same bytes"
    assert places[fast["nodeid"]][1] < places[slow["nodeid"]][1], "what is faster stands higher"
    roofs = [float(y) for y in re.findall(r'class="roof" d="M[\d.]+ ([\d.]+)h', svg)]
    assert len(roofs) == 2
    assert roofs[0] == roofs[1] < places[fast["nodeid"]][1]
    assert [one.share for one in shown.farthest] == ["40.0 %", "80.0 %"]
    assert shown.farthest[0].reached == "1.678 TB/s"
    assert shown.farthest[0].roof == "4.194 TB/s (bytes)"


def test_what_has_no_roof_no_work_or_no_time_is_said_not_guessed() -> None:
    bare, without, untimed = body(1, 4e-5), body(2, 4e-5, moved=0), case(3, "UNMEASURED", random.Random(3), kind="sync")
    shown = drawn(bare, without, untimed)
    assert shown.bodies == 1
    assert shown.farthest == ()
    assert "1 measurement without bytes in its work= is not in it" in shown.remark
    assert "1 have no roof beside them" in shown.remark
    assert 'class="roof"' not in shown.pictures[0]
    assert 'class="ceiling"' not in shown.pictures[0], "no roof was measured, so none is drawn"
    assert rooflines(assemble([without, untimed])) is None


def test_a_body_that_computes_gets_the_classic_picture_under_the_later_roof() -> None:
    product = body(1, 1e-4, moved=1 << 22, flops=2 * 1024**3, roofs={"bytes": 2e-6, "flops": 5e-5}, kind="bf16")
    shown = drawn(product)
    over_bytes, intensity = shown.pictures
    assert "operations a byte" in intensity
    assert intensity.count('class="ceiling"') == 2
    assert "bf16 42.95 TFLOP/s" in intensity
    assert shown.farthest[0].share == "50.0 %"
    assert shown.farthest[0].roof == "42.95 TFLOP/s (flops)"
    assert "operations a byte" not in over_bytes


def test_verdicts_have_shapes_and_the_worst_lie_on_top() -> None:
    svg = drawn(body(1, 4e-5), body(2, 4e-5, verdict="FAIL"), body(3, 4e-5, verdict="INCONCLUSIVE")).pictures[0]
    assert svg.index('class="cross"') > svg.index('class="body"'), "the failure is drawn last"
    assert svg.count('class="halo"') == 1
    assert re.search(r'v-INCONCLUSIVE"><title>[^<]*</title><path class="body"', svg)


def test_hostile_ids_are_text_and_links_lead_to_their_cards() -> None:
    made = {**body(1, 4e-5, verdict="FAIL", roofs={"bytes": 3e-5}), "nodeid": HOSTILE}
    svg = drawn(made).pictures[0]
    assert "<script" not in svg
    (link,) = re.findall(r'<a href="([^"]+)"', svg)
    page = render(assemble([made]))
    assert f'href="{link}"' in page[page.index('id="failures"') : page.index('id="roofline"')], "the same link as the card's own"
    assert visible(HOSTILE) in unescape(svg)


def test_thousands_of_bodies_stay_light() -> None:
    shown = drawn(*(body(index, 1e-5 + index * 1e-8) for index in range(3000)))
    (svg,) = shown.pictures
    assert svg.count("<a ") == LINKED
    assert svg.count('class="crowd') == 1
    assert f"of 3,000 bodies the first {LINKED} are links" in shown.remark
    assert len(svg) < 220_000


def test_a_run_without_times_shows_its_references_roofline_as_such() -> None:
    here, there = make_run(gpu=False), assemble([body(1, 4e-5, roofs={"bytes": 3e-5})])
    page = render(here, there)
    section = page[page.index('<section id="roofline">') : page.index('<section id="all">')]
    assert "Not this run: nothing was timed in it. Recorded on NVIDIA H200" in section
    assert "Not this run" not in render(there, here)
    assert 'id="roofline"' not in render(here)


@pytest.mark.parametrize(("flops", "roofs"), [(0, {}), (1 << 30, {}), (1 << 30, {"flops": 1e-5}), (1 << 30, {"bytes": 1e-5})])
def test_it_draws_whatever_roofs_there_are(flops: int, roofs: dict[str, float]) -> None:
    shown = drawn(body(1, 4e-5, flops=flops, roofs=roofs))
    for svg in shown.pictures:
        assert "nan" not in svg
        assert "inf" not in svg
        for x, y in re.findall(r'cx="([\d.-]+)" cy="([\d.-]+)"', svg):
            assert 0 <= float(x) <= 560
            assert 0 <= float(y) <= 302

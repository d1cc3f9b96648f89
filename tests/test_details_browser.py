"""Details in a real browser: nothing is cut off at the edge of its picture, no text lies on another, nothing is wider than the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from detailed_runs import detailed_run, earlier
from test_report_browser import BROWSER, DESKTOP, PHONE, Visit, browser, chromium  # noqa: F401 - fixtures

from pytest_gpuperf.report.html import write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no Chromium here: details were not looked at in a browser")]

#: Texts and shapes of a drawing that its edge cuts off, and pairs of texts that overlap by more than a pixel.
_WRONG = """svg => {
  const own = svg.getBoundingClientRect(), box = (one) => one.getBoundingClientRect();
  const cut = [...svg.querySelectorAll('text, path, circle')].filter((one) => { const b = box(one); return b.left < own.left - 1 || b.right > own.right + 1 || b.top < own.top - 1 || b.bottom > own.bottom + 2; });
  const texts = [...svg.querySelectorAll('text')];
  const over = texts.flatMap((one, i) => texts.slice(i + 1).filter((other) => { const a = box(one), b = box(other);
    return Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > a.height / 3; }).map((other) => one.textContent + ' / ' + other.textContent));
  return [...cut.map((one) => one.outerHTML), ...over];
}"""


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = detailed_run(kernels=12)
    return write(run, tmp_path_factory.mktemp("details") / "run.html", history=earlier(run))


@pytest.mark.parametrize(("width", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_drawings_of_details_are_whole(browser: Any, page_path: Path, width: int, scheme: str) -> None:  # noqa: F811 - the fixture
    visit = Visit(browser, page_path, color_scheme=scheme, viewport={"width": width, "height": 900})
    for row in range(6):
        visit.page.locator("tr.r").nth(row).click()
    drawn = visit.page.locator("svg.dist:is(.history, .split, .kernels, .timeline)")
    count = drawn.count()
    assert count > 20
    wrong = [found for place in range(count) for found in drawn.nth(place).evaluate(_WRONG)]
    assert wrong == []
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    assert visit.quiet()

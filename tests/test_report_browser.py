"""The report page in a real browser: no request, no error, readable without JavaScript, sortable, filterable, linkable."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from compiled_runs import compiled_run
from counted_runs import counted_run
from curve_runs import qualification, sizes_with_holes
from run_files import assemble, case, make_run

from pytest_gpuperf.format import visible
from pytest_gpuperf.report.html import write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
HOSTILE = "tests/t.py::test[</script><script>alert(1)</script>\"' %41&amp; \u202egnp.exe]"
PHONE, DESKTOP = 390, 1280

pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no Chromium here: the report page was not looked at in a browser")]


class Visit:
    """A page that was opened, with all that it logged and asked the network for."""

    def __init__(self, browser: Any, path: Path, fragment: str = "", **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.errors.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri() + fragment)

    def rows(self) -> list[str]:
        found: list[str] = self.page.locator("tr.r").all_inner_texts()
        return found

    def quiet(self) -> bool:
        self.page.wait_for_timeout(50)
        return self.errors == [] and len(self.requests) == 1


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(make_run(passed=260, failed=6), tmp_path_factory.mktemp("page") / "run [1].html", make_run(seed=8))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_no_request_no_error_and_nothing_wider_than_the_window(browser: Any, page_path: Path, scheme: str, width: int) -> None:
    visit = Visit(browser, page_path, color_scheme=scheme, viewport={"width": width, "height": 800})
    visit.page.locator("tr.r").nth(7).click()
    assert visit.page.locator("tr.more").count() == 1
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    assert visit.quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_curves_fit_their_pictures_and_the_window(browser: Any, tmp_path: Path, scheme: str, width: int) -> None:
    run = assemble(sizes_with_holes()) | {"qualification": qualification()}
    visit = Visit(browser, write(run, tmp_path / "page.html"), color_scheme=scheme, viewport={"width": width, "height": 800})
    for section, pictures in (("#qualification", 3), ("#curves", 3)):
        drawn = visit.page.locator(f"{section} svg")
        assert drawn.count() == pictures
        for place in range(pictures):
            # Nothing that is written or drawn is cut off at the edge of its picture.
            beyond = """svg => { const own = svg.getBoundingClientRect(); return [...svg.querySelectorAll('text, path, circle')].filter(one => {
                const box = one.getBoundingClientRect(); return box.left < own.left - 1 || box.right > own.right + 1 || box.top < own.top - 1 || box.bottom > own.bottom + 1;
            }).map(one => one.outerHTML) }"""
            assert drawn.nth(place).evaluate(beyond) == []
    visit.page.locator("#qualification summary").first.click()
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    assert visit.quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_counters_stay_inside_the_window(browser: Any, tmp_path: Path, scheme: str, width: int) -> None:
    path = write(counted_run(), tmp_path / "page.html", counted_run(factor=0.9))
    visit = Visit(browser, path, color_scheme=scheme, viewport={"width": width, "height": 800})
    for place in range(5):
        visit.page.locator("tr.r").nth(place).click()
    # One in the card of the failure, and one in each of four rows of the table.
    tables = visit.page.locator(".profiled")
    assert tables.count() == 5
    for place in range(5):
        for kernels in tables.nth(place).locator("summary").all():
            kernels.click()
            # The window is too narrow for their many columns: they scroll by themselves, their heads are there.
            assert tables.nth(place).locator("details thead th").first.is_visible()
        cut = "one => [...one.querySelectorAll(':scope > table td')].filter(cell => cell.getBoundingClientRect().right > innerWidth || cell.scrollWidth > cell.clientWidth + 1).length"
        assert tables.nth(place).evaluate(cut) == 0
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    assert visit.quiet()


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_long_words_of_a_reason_break(browser: Any, tmp_path: Path, width: int) -> None:
    told = case(1, "UNMEASURED", random.Random(1), kind="sync")
    told["reasons"][0]["sentence"] = f"the body synchronises in {'.'.join(['a_module_of_a_long_name'] * 8)}.synchronize"
    visit = Visit(browser, write(assemble([told]), tmp_path / "page.html"), viewport={"width": width, "height": 800})
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


def test_light_and_dark_differ(browser: Any, page_path: Path) -> None:
    papers = {Visit(browser, page_path, color_scheme=scheme).page.evaluate("getComputedStyle(document.body).backgroundColor") for scheme in ("light", "dark")}
    assert len(papers) == 2


def test_all_failures_and_reasons_are_readable_without_javascript(browser: Any, page_path: Path) -> None:
    visit = Visit(browser, page_path, java_script_enabled=False)
    text = visit.page.inner_text("main")
    run = make_run(passed=260, failed=6)
    failed = [row for row in run["cases"] if row["verdict"] == "FAIL"]
    assert len(failed) == 6
    for row in failed:
        assert row["nodeid"] in text
        assert row["error"].split(": ", 1)[1] in text
    assert "Next move the synchronisation out of the body" in text
    assert "The first 200 of 272 rows" in text
    assert not visit.page.locator(".tools").is_visible()
    assert visit.page.locator("#failures svg.dist:not(.clock)").count() == visit.page.locator("#failures svg.clock").count() == 6


def test_sorting_goes_both_ways_with_what_has_no_number_last(browser: Any, page_path: Path) -> None:
    visit = Visit(browser, page_path)
    visit.page.click("[data-sort=time]")

    def times() -> list[float]:
        return [float(text.split()[0]) for text in visit.page.locator("tr.r td:nth-child(3)").all_inner_texts() if text[:1].isdigit()]

    assert times() == sorted(times())
    assert visit.page.locator("th[aria-sort=ascending]").inner_text().startswith("time")
    visit.page.click("[data-sort=time]")
    assert times() == sorted(times(), reverse=True)
    visit.page.click("#on")
    assert all("sync" in text for text in visit.rows()[-2:])
    assert visit.quiet()


def test_filter_verdict_chips_and_pages(browser: Any, page_path: Path) -> None:
    visit = Visit(browser, page_path)
    assert visit.page.inner_text("#where") == "1–200 of 272"
    visit.page.click("#on")
    assert visit.page.inner_text("#where") == "201–272 of 272"
    visit.page.fill("#filter", "WRITE_ALL bfloat16 <= 64")
    found = visit.rows()
    assert found
    assert all("test_write_all" in text and "bfloat16" in text and "64" in text for text in found)
    visit.page.fill("#filter", "nothing like this")
    assert (visit.rows(), visit.page.inner_text("#where")) == ([], "no row matches")
    visit.page.fill("#filter", "")
    for name in ("PASS", "INCONCLUSIVE", "UNMEASURED", "NOT-APPLICABLE"):
        visit.page.click(f".chip.v-{name}")
    assert len(visit.rows()) == 6
    assert visit.quiet()


def test_a_permalink_opens_its_row_on_whatever_page_it_is(browser: Any, page_path: Path) -> None:
    run = make_run(passed=260, failed=6)
    last = max((row for row in run["cases"] if row["verdict"] == "PASS"), key=lambda row: row["budgets"][0]["margin"])
    visit = Visit(browser, page_path, "#t=" + quote(last["nodeid"], safe=""))
    assert visit.page.inner_text("#where") == "201–272 of 272"
    assert last["nodeid"] in visit.page.inner_text("tr.more")
    assert visit.page.locator("tr.more").is_visible()
    failed = next(row for row in run["cases"] if row["verdict"] == "FAIL")
    visit.page.goto(page_path.as_uri() + "#t=" + quote(failed["nodeid"], safe=""))
    assert failed["nodeid"] in visit.page.inner_text(".card:target")
    visit.page.goto(page_path.as_uri() + "#t=%E0%A4%A")
    visit.page.goto(page_path.as_uri() + "#t=no-such-test")
    assert visit.quiet()


def test_a_hostile_node_id_is_text_and_can_be_linked(browser: Any, tmp_path: Path) -> None:
    rng = random.Random(1)
    path = write(assemble([{**case(1, verdict, rng), "nodeid": HOSTILE} for verdict in ("PASS", "PASS")]), tmp_path / "page.html")
    visit = Visit(browser, path, "#t=" + quote(visible(HOSTILE), safe=""))
    assert visit.page.locator("tr.more").count() == 2
    assert visible(HOSTILE).split("::")[1] in visit.rows()[0]
    visit.page.click("tr.r a >> nth=0")
    assert visit.page.locator("tr.more").count() == 1
    assert visit.quiet()


def test_a_row_opens_and_closes_from_the_keyboard(browser: Any, page_path: Path) -> None:
    visit = Visit(browser, page_path)
    visit.page.locator("tr.r a").nth(3).focus()
    visit.page.keyboard.press("Enter")
    assert visit.page.locator("tr.more").count() == 1
    assert visit.page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    visit.page.keyboard.press("Enter")
    assert visit.page.locator("tr.more").count() == 0


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_table_of_machine_code_fits_and_its_code_opens(browser: Any, tmp_path: Path, width: int) -> None:
    here, there = compiled_run(failing=True), compiled_run()
    visit = Visit(browser, write(here, tmp_path / "code.html", there), viewport={"width": width, "height": 800})
    table = visit.page.locator("#resources table")
    assert "registers" in table.locator("thead").inner_text()
    assert table.locator("td.v-FAIL").all_inner_texts() == ["56\nwas 40\nlimit <= 48"]
    code = visit.page.locator("#resources details.code").first
    assert not code.locator("pre").is_visible()
    code.locator("summary").click()
    assert [text.strip() for text in code.locator(".minus").all_inner_texts()] == ["-LDG.E.128"]
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    assert visit.quiet()

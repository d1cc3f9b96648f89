"""The built site in a real browser: it asks the network for nothing, logs no error, and fits a phone. `make docs` is what finds broken links."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from test_report_browser import BROWSER, DESKTOP, FLAGS, PHONE, Visit

ROOT = Path(__file__).resolve().parent.parent
#: Pages that are unlike each other: prose, wide tables, docstrings, a picture.
PAGES = ("index", "clock-table", "api", "report")
BUILT = ROOT / "build" / "docs"


pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no Chromium here: the site was not looked at in a browser")]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    # The part before this one of `make test` has just built it.
    index, sources = BUILT / "index.html", [*(ROOT / "docs").rglob("*"), *(ROOT / "pytest_gpuperf").rglob("*.py"), ROOT / "CHANGELOG.md"]
    if index.exists() and index.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return BUILT
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-n", "docs", str(place)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_by_itself(site, browser, name):
    for width in (DESKTOP, PHONE):
        visit = Visit(browser, site / f"{name}.html", viewport={"width": width, "height": 800})
        visit.page.wait_for_timeout(50)
        assert visit.requests, name
        assert [url for url in visit.requests if not url.startswith("file:")] == []
        assert visit.errors == []
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        visit.context.close()

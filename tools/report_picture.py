"""Take docs/report.png: the head of the example page, one failure, and the roofline, as a browser shows them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import chromium

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "reports" / "example" / "regressed.html"
PICTURE = ROOT / "docs" / "report.png"
#: The failure that is shown.
SHOWN = "suites/test_compression_speed.py::test_emit[256]"
WIDTH, SCALE = 1120, 1.5

#: Leaves on the page what the picture has room for.
EXCERPT = """(shown) => {
  for (const one of document.querySelectorAll('main > section')) if (!['failures', 'roofline'].includes(one.id)) one.remove();
  for (const one of document.querySelectorAll('#failures .card')) if (one.id !== 't=' + shown) one.remove();
  for (const one of document.querySelectorAll('#failures .wide, #more-failures, .accounts, .meta .command')) one.remove();
}"""


def main() -> None:
    """Write the picture; SystemExit where there is no Chromium."""
    from playwright.sync_api import sync_playwright

    found = chromium.find()
    if found is None:
        raise SystemExit(chromium.missing())
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(viewport={"width": WIDTH, "height": 800}, device_scale_factor=SCALE, color_scheme="light").new_page()
        page.goto(PAGE.as_uri())
        page.evaluate(EXCERPT, SHOWN)
        page.evaluate("document.body.style.paddingBottom = '1rem'")
        page.screenshot(path=PICTURE, full_page=True)
        browser.close()
    print(PICTURE.relative_to(ROOT))


if __name__ == "__main__":
    main()

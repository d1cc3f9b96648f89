"""How Sphinx builds the site of docs/: `make docs`. The Markdown is written for a code host first."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

from pytest_gpuperf import __version__  # noqa: E402 - the checkout's own, whatever is installed

project = "pytest-gpuperf"
release = version = __version__
copyright = "the authors of pytest-gpuperf"  # noqa: A001 - Sphinx's name for it

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3
# Text is shown as it is written: `--gpuperf-strict` has two hyphens.
smartquotes = False

html_theme = "furo"
html_title = "pytest-gpuperf"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False

# Docstrings are plain text with names between single backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Types in signatures: those of other packages, and private ones, have no page here.
nitpick_ignore_regex = [(r"py:class", r".*")]

#: Pages of the site whose text is a file outside of docs/; on a code host the page of docs/ has a link to it.
ELSEWHERE = {"changelog": "CHANGELOG.md", "examples": "examples/README.md"}


def setup(app: Any) -> None:
    """Let the site have the pages that lie elsewhere, and let links lead to them."""
    app.connect("source-read", lambda _app, name, source: source.__setitem__(0, read(name, source[0])))


def read(name: str, text: str) -> str:
    """Return the text of a page, links to files outside of docs/ as the site has them."""
    folder = DOCS
    if name in ELSEWHERE:
        text = (ROOT / ELSEWHERE[name]).read_text(encoding="utf-8")
        folder = (ROOT / ELSEWHERE[name]).parent
    pages = {ROOT / file: f"{page}.md" for page, file in ELSEWHERE.items()}

    def moved(link: re.Match[str]) -> str:
        target = (folder / link[1]).resolve()
        return f"]({pages.get(target) or os.path.relpath(target, DOCS)})"

    return re.sub(r"\]\((?!\w+:|#)([^)#\s]+\.\w+)\)", moved, text)

"""How Sphinx builds the site of docs/: `make docs`. The Markdown is written for a code host first."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
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

#: Pages of the repository that the site shows too, by the link that a code host follows.
OUTSIDE = {"](../CHANGELOG.md)": "](changelog.md)"}


def setup(app: Any) -> None:
    """Let links to pages outside of docs/ lead to their copies on the site."""
    app.connect("source-read", lambda _app, _name, source: source.__setitem__(0, _inside(source[0])))


def _inside(text: str) -> str:
    for link, page in OUTSIDE.items():
        text = text.replace(link, page)
    return text

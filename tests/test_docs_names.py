"""Names in docs/*.md and the README are those of the code: options, verbs with their arguments, links; CI recipes are YAML."""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from pytest_gpuperf import cli
from pytest_gpuperf.options import OPTIONS
from pytest_gpuperf.reasons import REASONS

ROOT = Path(__file__).parent.parent
PAGES = {path.name: path.read_text(encoding="utf-8") for path in [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]}
FLAGS = {option.flag for option in OPTIONS}
INI = {option.ini for option in OPTIONS}
#: Files of a project that a page makes up.
OF_THE_READER = {"tests/attention", "tests/test_commit.py"}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def verbs() -> dict[str, set[str]]:
    """Return the flags of every verb of `gpuperf`."""
    chosen = next(action for action in cli._parser()[0]._actions if isinstance(action, argparse._SubParsersAction))
    return {name: {flag for action in parser._actions for flag in action.option_strings} for name, parser in chosen.choices.items()}


def code(text: str) -> list[str]:
    """Return what a page writes as code: lines of its blocks, less their comments, and what stands between backticks."""
    lines = [line.partition("  #")[0] for _, block in BLOCK.findall(text) for line in block.splitlines()]
    return [*lines, *re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))]


@pytest.mark.parametrize("page", PAGES)
def test_every_option_is_one(page):
    named = set(re.findall(r"--gpuperf(?:-[a-z]+)*", PAGES[page]))
    assert named <= FLAGS, sorted(named - FLAGS)
    set_there = set(re.findall(r"^(gpuperf_\w+) *=", PAGES[page], re.MULTILINE))
    assert set_there <= INI, sorted(set_there - INI)


def test_every_option_is_in_the_page_of_options():
    assert set(re.findall(r"^\| `(--gpuperf[a-z-]*)", PAGES["options.md"], re.MULTILINE)) == FLAGS


@pytest.mark.parametrize("page", PAGES)
def test_every_verb_and_its_arguments_are_those_of_the_script(page):
    known = verbs()
    for line in code(PAGES[page]):
        for words in re.findall(r"(?:^|[\s/$])gpuperf ([a-z]+\b[^|]*)", line):
            verb, *rest = words.split()
            assert verb in known, line
            flags = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
            assert flags <= known[verb], line


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    folder = ROOT if page == "README.md" else ROOT / "docs"
    for target in re.findall(r"\]\((?!https?:|\.\.\.)([^)\s]+)\)", BLOCK.sub("", PAGES[page])):
        path, _, anchor = target.partition("#")
        file = folder / path if path else folder / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


def anchors(text: str) -> set[str]:
    """Return the anchors that a code host gives to headings, and those that a page has of its own."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", text), re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("page", PAGES)
def test_files_of_the_repository_that_are_named_are_there(page):
    for name in re.findall(r"(?<![\w/.])((?:tests|tools|suites|benchmarks|kernels|constraints|reports/reference|pytest_gpuperf)/[\w./*-]*\w)", PAGES[page]):
        if name not in OF_THE_READER:
            assert any(ROOT.glob(name)), name


def test_anchors_are_those_of_a_code_host():
    assert "why-the-peers-are-off" in anchors("## Why the peers are off\n")
    assert anchors('### What is `sync`?\n<a id="no-gpu"></a>') == {"what-is-sync", "no-gpu"}


def test_every_reason_has_its_anchor():
    assert {row.code for row in REASONS} <= anchors(PAGES["verdicts.md"])


def test_recipes_are_yaml_and_do_something():
    blocks = [text for language, text in BLOCK.findall(PAGES["ci.md"]) if language == "yaml"]
    assert len(blocks) == 5
    for block in blocks:
        told = yaml.safe_load(block)
        jobs = told.get("jobs", told)
        for name, job in jobs.items():
            assert isinstance(job, dict), name
            steps = [*(step.get("run") or step["uses"] for step in job.get("steps", [])), *job.get("script", [])]
            assert any("gpuperf" in step for step in steps), name


def test_other_blocks_are_what_they_say():
    for page, text in PAGES.items():
        for language, block in BLOCK.findall(text):
            if language == "toml":
                assert tomllib.loads(block), page
            if language == "yaml":
                assert yaml.safe_load(block), page

"""NVTX ranges: what reaches the domain, slugs, and a machine without nvtx."""

from __future__ import annotations

import builtins
import re
import subprocess
import sys
import types

import pytest

from pytest_gpuperf import nvtx_ranges


class Domain:
    """A domain that writes down what it gets."""

    def __init__(self):
        self.seen, self.made = [], []

    def get_event_attributes(self, message):
        self.made.append(message)
        return f"attributes of {message}"

    def push_range(self, attributes):
        self.seen.append(("push", attributes))

    def pop_range(self):
        self.seen.append("pop")

    def start_range(self, attributes):
        self.seen.append(("start", attributes))
        return 77

    def end_range(self, number):
        self.seen.append(("end", number))


@pytest.fixture(autouse=True)
def fresh():
    caches = (nvtx_ranges._domain, nvtx_ranges._attributes, nvtx_ranges.range)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def domain(monkeypatch):
    domain, asked = Domain(), []
    monkeypatch.setitem(sys.modules, "nvtx", types.SimpleNamespace(get_domain=lambda name: asked.append(name) or domain))
    yield domain
    assert asked == ["gpuperf"]


def test_a_range_is_pushed_and_popped_and_its_attributes_made_once(domain):
    for _ in (1, 2):
        with nvtx_ranges.range("mask"), nvtx_ranges.range("inner"):
            pass
    push = [("push", "attributes of mask"), ("push", "attributes of inner"), "pop", "pop"]
    assert domain.seen == push * 2
    assert domain.made == ["mask", "inner"]


def test_a_range_ends_with_the_error_of_its_body(domain):
    with pytest.raises(KeyError), nvtx_ranges.range("mask"):
        raise KeyError
    assert domain.seen[-1] == "pop"


def test_a_range_is_a_decorator(domain):
    @nvtx_ranges.range("mask")
    def body(a, *, b):
        """Add."""
        assert domain.seen[-1] == ("push", "attributes of mask")
        return a + b

    assert body(1, b=2) == 3
    assert body.__doc__ == "Add."
    assert domain.seen[-1] == "pop"


def test_a_measurement_has_a_start_and_end_range(domain):
    with pytest.raises(KeyError), nvtx_ranges.measurement_range("g1-main"):
        raise KeyError
    assert domain.seen == [("start", "attributes of g1-main"), ("end", 77)]


def test_the_real_nvtx_takes_what_we_give():
    pytest.importorskip("nvtx", reason="nvtx has no wheel for this machine")
    assert nvtx_ranges.nvtx_available()
    with nvtx_ranges.range("mask"), nvtx_ranges.measurement_range("g1-main"):
        pass


def test_without_nvtx_ranges_do_nothing_and_say_so(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "nvtx":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.delitem(sys.modules, "nvtx", raising=False)
    assert not nvtx_ranges.nvtx_available()
    with nvtx_ranges.range("mask"), nvtx_ranges.measurement_range("g1-main"):
        pass


def test_nothing_is_imported_before_the_first_range():
    code = "import sys, pytest_gpuperf.nvtx_ranges as n; n.slug('a', 'b'); print(sorted({'nvtx', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


HOSTILE = ["t.py::test[a/b@c,d*$+\\[x]]", "t.py::tést[ü]", "t.py::" + "x" * 300, "", "a\0b", "t.py::test[\ud800]"]


@pytest.mark.parametrize("nodeid", HOSTILE)
@pytest.mark.parametrize("name", ["main", "a b/c", "n" * 100])
def test_a_slug_is_safe_and_short_and_stands_for_its_measurement(nodeid, name):
    slugs = nvtx_ranges.Slugs()
    slug = slugs.slug(nodeid, name)
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,60}", slug)
    assert slugs.table == {slug: (nodeid, name)}
    assert nvtx_ranges.Slugs().slug(nodeid, name) == slug


def test_slugs_of_many_measurements_differ():
    slugs = nvtx_ranges.Slugs()
    made = [slugs.slug(f"t.py::test[{number}]", name) for number in range(500) for name in ("main", "base")]
    assert len(set(made)) == 1000


def test_two_measurements_whose_hashes_meet_get_two_slugs(monkeypatch):
    real = nvtx_ranges._slug
    monkeypatch.setattr(nvtx_ranges, "_slug", lambda nodeid, name, salt: real(nodeid, name, salt) if salt else "same")
    slugs = nvtx_ranges.Slugs()
    assert slugs.slug("a", "main") == slugs.slug("a", "main") == "same"
    assert slugs.slug("b", "main") != "same"


def test_the_table_of_the_process():
    slug = nvtx_ranges.slug("t.py::test_a", "main")
    assert nvtx_ranges.slug_table()[slug] == ("t.py::test_a", "main")

"""Read the text log of compute-sanitizer: what it found, where, and what it could not check."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import plural, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "========="
_BANNER = "COMPUTE-SANITIZER"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One finding; those of many threads at one place are one, with a count.

    `what` is the tool's own first line, `kernel` a name without namespaces, parameters and ABI tags, `source` "file:line" where the kernel was
    compiled with line information, `other` the second access of a race, `near` where an address lies by the nearest allocation, `frames`
    the host's calls, innermost first, `count` how often it was reported, by `threads` threads. `blames` is False for what is no
    finding about the program: the tool says that it could not check.
    """

    tool: str
    what: str
    kernel: str | None = None
    source: str | None = None
    thread: str | None = None
    block: str | None = None
    address: str | None = None
    size: int | None = None
    near: str | None = None
    other: str | None = None
    frames: tuple[str, ...] = ()
    count: int = 1
    threads: int = 0
    blames: bool = True

    @property
    def story(self) -> str:
        """One line: what, in which kernel, where, how often, and the first one.

        >>> Finding("memcheck", "Invalid __global__ write of size 4 bytes", "store", "k.py:11", "(0,0,0)", "(2,0,0)", "0x7fb0", count=64, threads=64).story
        'invalid __global__ write of size 4 bytes in store at k.py:11, 64 threads, first (0,0,0) of block (2,0,0) at 0x7fb0'
        """
        place = (f" in {self.kernel}" if self.kernel else "") + (f" at {self.source}" if self.source else "")
        parts = [f"{_lowered(self.what)}{place}", self.other, self._often, self._first, _lowered(self.near or "")]
        parts += [f"called by {self.frames[0]}"] if self.frames and not self.kernel else []
        return ", ".join(part for part in parts if part)

    @property
    def _often(self) -> str:
        if not self.thread:
            return f"{self.count:,} times" if self.count > 1 else ""
        times = f"{self.count:,} times by " if self.count > self.threads else ""
        return times + plural(self.threads, "thread") if self.count > 1 else ""

    @property
    def _first(self) -> str:
        who = f"{self.thread} of block {self.block}" if self.thread else ""
        text = " at ".join(filter(None, (who, self.address)))
        return text if not text else f"first {text}" if self.count > 1 else f"thread {text}" if who else f"address {text}"

    def record(self) -> dict[str, Any]:
        """Return the finding as plain values."""
        return dataclasses.asdict(self) | {"frames": list(self.frames), "story": self.story}


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What a piece of a log holds: its findings, merged, in the order of their first; of how many reports; how many more the tool did not print; whether it stands in it that the tool was there at all; how many errors its summary counts."""

    findings: tuple[Finding, ...]
    reports: int = 0
    unprinted: int = 0
    begun: bool = False
    summed: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Head:
    """A kind of first line of a block that is no finding about the program: `kind` is nothing or trouble."""

    pattern: re.Pattern[str]
    kind: str


_HEADS = (
    _Head(re.compile(f"{_BANNER}$"), "nothing"),
    _Head(re.compile(r"(ERROR|RACECHECK|LEAK) SUMMARY: "), "nothing"),
    # How the program ended is known better from the program; a test that fails is not the tool's to report.
    _Head(re.compile(r"(Error: )?(Target application returned an error|[Pp]rocess didn't terminate successfully)"), "nothing"),
    _Head(re.compile(r"(Error: )?Target application terminated before first instrumented API call"), "trouble"),
    _Head(re.compile(r"(Error: )?No attachable process found"), "trouble"),
    _Head(re.compile(r"(Error: )?.*\b[Dd]evice\b.*\b(not supported|unsupported)\b"), "trouble"),
    _Head(re.compile(r"(Error: )?Internal [Ss]anitizer [Ee]rror"), "trouble"),
    _Head(re.compile(r"(Error: )?(Failed|Unable|Could not) to? ?(initialize|connect|inject|launch|find|open)"), "trouble"),
)
_UNPRINTED = re.compile(r"ERROR SUMMARY: ([\d,]+) errors? (?:were|was) not printed")
_SUMMED = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: ([\d,]+) (?:errors?|hazards? displayed)\b")
_AT = r"(?P<kernel>\S.*?)\+0x[0-9a-f]+(?: in (?P<source>\S+:\d+))?"
_HAZARDS = re.compile(r" \[([\d,]+) hazards?\]$")
_RACE = re.compile(rf"(?P<what>.*\bRace reported between .+?) at {_AT}$")
_OTHER = re.compile(rf"and (?P<access>.+?) at {_AT}$")
_DETAILS = (
    re.compile(rf"at {_AT}$"),
    re.compile(r"by thread (?P<thread>\(\d+,\d+,\d+\)) in block (?P<block>\(\d+,\d+,\d+\))"),
    re.compile(r"Access (?:to|at) (?P<address>0x[0-9a-f]+)\b"),
    re.compile(r"Address (?P<address>0x[0-9a-f]+)\b"),
    re.compile(r"and is (?P<near>[\d,]+ bytes \w+ the nearest allocation at 0x[0-9a-f]+ of size [\d,]+ bytes)"),
    re.compile(r"(?P<near>[Uu]ninitialized access to 0x[0-9a-f]+ on access by .+)"),
    re.compile(r"and is (?P<near>inside the nearest allocation at 0x[0-9a-f]+ of size [\d,]+ bytes)"),
)
_SIZE = re.compile(r" of size ([\d,]+)(?: bytes?)?")
_FRAME = re.compile(r"Host Frame: ?(?P<frame>.+)$")
_PLACE = re.compile(r" ?\[0x[0-9a-f]+\]")
#: What calls the test: whoever called that is no part of the case.
_OUTERMOST = "pytest_pyfunc_call in "
_PYTHON = re.compile(r"\S+ in \S+:\d+$")


def parse(text: str, tool: str) -> Reading:
    r"""Return what a piece of a log of `tool` says. A text that nobody knows is a finding with its first line: nothing is dropped.

    >>> parse("========= COMPUTE-SANITIZER\n========= Something new\n=========     at void a::k<int>(int*)+0x10 in k.cu:3\n", "memcheck").findings[0].story
    'something new in k at k.cu:3'
    """
    found, unprinted, begun, summed = [], 0, False, 0
    for head, details in _blocks(text):
        if lost := _UNPRINTED.match(head):
            unprinted += int(lost[1].replace(",", ""))
        if counted := _SUMMED.match(head):
            summed += int(counted[1].replace(",", ""))
        kind = next((row.kind for row in _HEADS if row.pattern.match(head)), "finding")
        begun = begun or head == _BANNER
        if kind != "nothing":
            found.append(_finding(head, details, tool, blames=kind == "finding"))
    return Reading(tuple(merged(found)), len(found), unprinted, begun, summed)


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the first line of each block and its further, indented lines, all without the tool's prefix; lines of others are not the tool's."""
    head: str | None = None
    details: list[str] = []
    for line in text.splitlines():
        if not line.startswith(_PREFIX):
            continue
        rest = line[len(_PREFIX) :]
        if rest.startswith("  "):
            # A piece of a log that begins in the middle of a block tells of it all the same.
            head, details = (rest.strip(), []) if head is None else (head, [*details, rest.strip()])
            continue
        if head is not None:
            yield head, details
        head, details = (rest.strip() or None), []
    if head is not None:
        yield head, details


def _finding(head: str, details: list[str], tool: str, *, blames: bool) -> Finding:
    head, hazards = _hazards(visible(head))
    told: dict[str, Any] = {"what": head.removeprefix("Error: ").rstrip(" .:").replace(". ", ": ")}
    if race := _RACE.match(told["what"]):
        told |= {name: value for name, value in race.groupdict().items() if value}
    frames: list[str] = []
    for line in details:
        line, more = _hazards(line)  # noqa: PLW2901 - the count belongs to the finding, not to the place
        hazards += more
        if other := _OTHER.match(line):
            place = f" at {other['source']}" if other["source"] else f" in {short_name(other['kernel'])}"
            told["other"] = f"and {_lowered(other['access'])}{place}"
        if frame := _FRAME.match(line):
            frames.append(visible(_PLACE.sub("", frame["frame"]).strip()))
        for pattern in _DETAILS:
            if match := pattern.match(line):
                told |= {name: value for name, value in match.groupdict().items() if value and name not in told}
    if told.get("kernel"):
        told["kernel"] = short_name(told["kernel"])
    size = _SIZE.search(head)
    return Finding(
        tool,
        **told,
        size=int(size[1].replace(",", "")) if size else None,
        frames=_calls(frames),
        count=max(hazards, 1),
        threads=int("thread" in told),
        blames=blames,
    )


def _calls(frames: list[str]) -> tuple[str, ...]:
    """Return the calls of the program, innermost first: those inside the interpreter say nothing where its lines are known."""
    known = [one for one in frames if _PYTHON.fullmatch(one)] or [one for one in frames if one]
    outermost = next((place for place, one in enumerate(known) if one.startswith(_OUTERMOST)), len(known))
    return tuple(known[:outermost])


def _hazards(line: str) -> tuple[str, int]:
    match = _HAZARDS.search(line)
    return (line[: match.start()], int(match[1].replace(",", ""))) if match else (line, 0)


def merged(findings: list[Finding]) -> list[Finding]:
    """Return equal findings of many threads as one each, with their count; what is said of one thread is said of the first.

    >>> [one.count for one in merged([Finding("memcheck", "a"), Finding("memcheck", "b"), Finding("memcheck", "a")])]
    [2, 1]
    """
    groups: dict[tuple[Any, ...], list[Finding]] = {}
    for one in findings:
        groups.setdefault((one.tool, one.what, one.kernel, one.source, one.other, one.frames, one.blames), []).append(one)
    return [
        dataclasses.replace(
            group[0],
            count=sum(one.count for one in group),
            threads=len({(one.thread, one.block) for one in group if one.thread}),
        )
        for group in groups.values()
    ]


def short_name(kernel: str) -> str:
    """Return a demangled kernel's name without its namespaces, template arguments, parameters and ABI tags.

    >>> short_name("__main__::store[abi:v2,cw51cXTLSUwv1s](Array<float, (int)1, C, mutable, aligned>, long long)")
    'store'
    >>> short_name("void (anonymous namespace)::deep::scale<float, (int)4>(float *, int)"), short_name("_Z5storePf"), short_name("k::operator()<int>(int)")
    ('scale', '_Z5storePf', 'operator()')
    """
    text = re.sub(r"\[abi:[^\]]*\]", "", kernel).replace("(anonymous namespace)::", "").replace("operator()", "operator\0").replace("<locals>.", "::")
    kept, depth = "", 0
    for char in text:
        if char == "(" and depth == 0:
            break
        depth += (char == "<") - (char == ">")
        kept += char if depth == 0 and char != ">" else ""
    name = kept.strip().rpartition("::")[2].split(" ")[-1].replace("\0", "()")
    return visible(name or kernel)


def _lowered(text: str) -> str:
    """Return a sentence's beginning as the middle of one; names and abbreviations stay."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text

"""The run file: written whole or not at all, read with a clear word on what is wrong with it."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.reasons import PASS
from pytest_gpuperf.records.account import account_problems
from pytest_gpuperf.records.collection import without_collection
from pytest_gpuperf.records.in_place import in_place
from pytest_gpuperf.records.journal import refuse_other_schema
from pytest_gpuperf.records.merge import merge
from pytest_gpuperf.records.schema import SCHEMA, plain, problems
from pytest_gpuperf.records.sound import sound
from pytest_gpuperf.records.upgrade import upgraded


def dumps(run: dict[str, Any]) -> str:
    """Return a run as JSON: the schema first, one case a line, so that two committed references can be compared line by line."""
    lines = []
    ordered = {"schema": run["schema"], **run}
    for key, value in ordered.items():
        if isinstance(value, list) and value:
            inner = ",\n".join(_compact(item) for item in value)
            lines.append(f"{_compact(key)}:[\n{inner}\n]")
        else:
            lines.append(f"{_compact(key)}:{_compact(value)}")
    return "{" + ",\n".join(lines) + "}\n"


@without_collection()
def write(run: dict[str, Any], path: Path) -> None:
    """Write a run file atomically: at every moment `path` holds the old file or the whole new one, after a power cut too.

    RunFileError, in one line, where it cannot be written; TypeError where the run holds what is no plain value.
    """
    data = dumps(plain(run, "run")).encode()
    # A link to a file on another disk stays a link.
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if in_place(target):
            target.write_bytes(data)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        message = f"cannot write run file {path}: {error.strerror or error}"
        raise RunFileError(message) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """Return the run of a run file, of a journal (*.jsonl) or of a directory of journals.

    What has an older schema is upgraded. RunFileError with the file and the cause for what is none of these, is cut off, or has a newer schema.
    """
    if path.is_dir():
        return _load_directory(path)
    if path.suffix == ".jsonl":
        return _load_journals([path], path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"cannot read run file {path}: {error.strerror or error}"
        raise RunFileError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path} is not a run file: not text (byte {error.start})"
        raise RunFileError(message) from error
    with without_collection():
        return _checked(_parsed(text, path), path)


def thin(run: dict[str, Any], limit_bytes: int = 2_000_000) -> dict[str, Any]:
    """Return a run whose file is at most `limit_bytes`, and which says what it lacks.

    Checks that passed in one case are counted by their kind, opcodes of machine code and timelines of what passed go, and of the samples every k-th of every round is kept. The
    values and their intervals stay those of all samples. RunFileError where the run is too large even with one sample a round.
    """
    if len(dumps(run).encode()) <= limit_bytes:
        return run
    run = run | {"cases": [_counted(case) for case in run["cases"]]}
    size = len(dumps(run).encode())
    if size <= limit_bytes:
        return run
    longest = max((len(samples) for rounds in _all_rounds(run) for samples in rounds), default=0)
    bare = len(dumps(_with_every(run, max(longest, 1))).encode())
    if bare > limit_bytes:
        message = f"the run is {bare:,} bytes with one sample a round; a reference may have {limit_bytes:,}: record fewer cases in it"
        raise RunFileError(message)
    step = max(2, (size - bare) // max(1, limit_bytes - bare))
    while True:
        thinned = _with_every(run, step)
        if step >= longest or len(dumps(thinned).encode()) <= limit_bytes:
            return thinned
        step += max(1, step // 8)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        rest = text[error.pos :].strip()
        cut = not rest or error.msg.startswith("Unterminated string")
        cause = "it is empty" if not text.strip() else "it is cut off" if cut else f"no JSON at line {error.lineno}, column {error.colno}"
        message = f"{path} is not a run file: {cause}"
        raise RunFileError(message) from error
    except (ValueError, RecursionError) as error:
        message = f"{path} is not a run file: {error}"
        raise RunFileError(message) from error


def _refuse_constant(name: str) -> None:
    message = f"{name} is no JSON"
    raise ValueError(message)


def _checked(read: Any, path: Path) -> dict[str, Any]:
    if not isinstance(read, dict) or "schema" not in read:
        message = f"{path} is not a run file: it has no schema number"
        raise RunFileError(message)
    refuse_other_schema(read["schema"], f"run file {path}")
    run: dict[str, Any] = upgraded(read) if read["schema"] < SCHEMA else read
    wrong = [] if sound(run) else list(problems(run, unknown=False))
    if wrong:
        others = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        message = f"{path} is not a sound run file: {wrong[0]}{others}"
        raise RunFileError(message)
    known = run.get("problems", [])
    found = [line for line in account_problems(run) if line not in known]
    return run | {"problems": [*known, *found]} if found else run


def _load_directory(path: Path) -> dict[str, Any]:
    journals = sorted(path.glob("*.jsonl"))
    if not journals:
        inner = sorted({journal.parent for journal in path.glob("*/*.jsonl")})
        newest = f"; its newest run is {inner[-1]}" if inner else ""
        message = f"{path} holds no journals (*.jsonl){newest}"
        raise RunFileError(message)
    return _load_journals(journals, path)


def _load_journals(journals: list[Path], path: Path) -> dict[str, Any]:
    run = merge(journals)
    if not run["run"]["id"] and not run["cases"]:
        message = f"{path} holds no events: the session ended before it wrote its first line"
        raise RunFileError(message)
    return _checked(run, path)


def _all_rounds(run: dict[str, Any]) -> list[list[list[int]]]:
    return [
        measurement["samples"]["rounds"] for case in run["cases"] for measurement in case["measurements"] if measurement["samples"] is not None
    ]


def _counted(case: dict[str, Any]) -> dict[str, Any]:
    """Return a case whose passed checks are one a kind, whose machine code has no opcodes, and which has no timelines where it passed."""
    if case["verdict"] == PASS:
        measurements = [{key: part for key, part in one.items() if key != "timeline"} for one in case["measurements"]]
        case = {key: part for key, part in case.items() if key != "ranges"} | {"measurements": measurements}
    kinds: dict[str, list[dict[str, Any]]] = {}
    for check in case["checks"]:
        kinds.setdefault(check["kind"] if check["verdict"] == PASS else f"{id(check)}", []).append(check)
    checks = [
        same[0] if len(same) == 1 else same[0] | {"name": f"{len(same)} checks", "detail": f"the first: {same[0]['detail']}"}
        for same in kinds.values()
    ]
    compiled = [one | {"opcodes": None} for one in case.get("compiled") or ()]
    return case | {"checks": checks} | ({"compiled": compiled} if compiled else {})


def _with_every(run: dict[str, Any], step: int) -> dict[str, Any]:
    cases = [case | {"measurements": [_thinned(measurement, step) for measurement in case["measurements"]]} for case in run["cases"]]
    return run | {"cases": cases}


def _thinned(measurement: dict[str, Any], step: int) -> dict[str, Any]:
    samples = measurement["samples"]
    if samples is None or all(len(taken) <= 1 for taken in samples["rounds"]):
        return measurement
    rounds = [taken[::step] for taken in samples["rounds"]]
    before, after = (sum(map(len, every)) for every in (samples["rounds"], rounds))
    note = f"samples thinned for the reference: {after} of {before} kept, every {step}th of a round; the values are those of all"
    return measurement | {"samples": samples | {"rounds": rounds}, "notes": [*measurement["notes"], note]}

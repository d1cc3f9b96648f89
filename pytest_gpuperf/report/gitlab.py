"""Findings as GitLab's Code Quality report, which a merge request shows beside its lines."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import visible
from pytest_gpuperf.report.findings import findings, within

if TYPE_CHECKING:
    from pytest_gpuperf.reference.compared import Comparison

_SEVERITIES = {"error": "major", "warning": "minor", "notice": "info"}


def code_quality(run: dict[str, Any], root: str, repository: str, comparison: Comparison | None = None) -> str:
    """Return the report as JSON: each finding at its line, with a fingerprint that is the same from run to run.

    `root` is where the files of the record start, `repository` where GitLab's do.
    """
    rows = [
        {
            "description": visible(f"{one.title}: {one.message}"),
            "check_name": f"gpuperf {one.kind.partition(' ')[0]}",
            "fingerprint": hashlib.sha256(f"{one.kind}\0{one.nodeid}".encode("utf-8", "backslashreplace")).hexdigest(),
            "severity": _SEVERITIES[one.level],
            "location": {"path": visible(within(one.file, root, repository) or one.file or "."), "lines": {"begin": one.line or 1}},
        }
        for one in findings(run, comparison)
    ]
    return json.dumps(rows, indent=1) + "\n"

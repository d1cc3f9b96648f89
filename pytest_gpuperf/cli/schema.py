"""gpuperf schema: the JSON Schema of the run files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare no arguments."""


def run(_options: argparse.Namespace) -> int:
    """Print it."""
    from pytest_gpuperf.cli.output import say
    from pytest_gpuperf.records.published import json_schema

    say([json.dumps(json_schema(), indent=1)])
    return 0

"""Child mode: the hooks of a session that relaunch.py started."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf import neutral, relaunch

if TYPE_CHECKING:
    from collections.abc import Generator


class Child:
    """The hooks of a child session."""

    def __init__(self, task: relaunch.Task) -> None:
        """Keep the task."""
        self.task = task
        self.folder = Path(task.folder)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, Any, Any]:
        """Neutralise, before anything is configured."""
        neutral.before_configuring(config, self.folder)
        for name, value in self.task.carried.items():
            if hasattr(config.option, name):
                setattr(config.option, name, value)
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Unregister what no option silences, once all markers are known."""
        neutral.after_configuring(config)


def register(manager: pytest.PytestPluginManager) -> None:
    """Make this session the child that the environment asks for; what it starts itself is none."""
    task = relaunch.read()
    if task is not None:
        os.environ.pop(relaunch.TASK)
        manager.register(Child(task), "gpuperf-child")

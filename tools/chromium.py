"""Say whether the browser tests can run here; on CI, as root, install Debian's Chromium first."""

from __future__ import annotations

import os
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def missing() -> str:
    """Return why there is no Chromium here, or nothing where there is one (now)."""
    if find():
        return ""
    if not shutil.which("apt-get"):
        return f"none of {', '.join(NAMES)} on the PATH"
    if os.environ.get("CI") != "true" or os.geteuid() != 0:
        return "no Chromium: `apt-get install chromium` as root (done by itself only where CI=true)"
    for command in (("apt-get", "-qq", "update"), ("apt-get", "-qq", "install", "--yes", "--no-install-recommends", "chromium")):
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            return f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"
    return "" if find() else "the package chromium brought no chromium"

"""The base's files: which commit or directory is meant, a worktree of it that goes when the session does, and where this session's paths lie in it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

#: git in the middle of an hour of measuring must not wait for a password, nor run a project's hooks.
_GIT = ("git", "-c", "core.hooksPath=/dev/null")
_GIT_SECONDS = 120.0
#: What can only be a directory.
_PLACES = (".", "/", "~")


class BaseError(ValueError):
    """A base that cannot be had; one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """The base as it was asked for: `top` of this session's tree answers to `folder`, or to a worktree of `commit`."""

    given: str
    top: Path
    commit: str | None = None
    folder: Path | None = None

    @property
    def title(self) -> str:
        """What it is called: the ref with its commit, or the directory's name.

        >>> Source("main", Path("/project"), "0123456789abcdef").title
        'main (0123456789)'
        """
        # Of a directory its name alone: a record is read on other machines.
        return f"{self.given} ({self.commit[:10]})" if self.commit else f"directory {Path(self.given).name or '.'}"


def find(given: str, root: Path, cwd: Path) -> Source:
    """Return what `given` means for tests with this root: a git ref, else a directory; BaseError, in one line, where it is neither."""
    top = _top(root)
    if top is not None and not given.startswith(_PLACES):
        commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{given}^{{commit}}")
        if commit is not None:
            return Source(given, top, commit=commit)
    folder = (cwd / Path(given).expanduser()).resolve()
    if folder.is_dir():
        return _directory(given, folder, root, top)
    raise BaseError(f"--gpuperf-base={given}: {_why_not(given, folder, root, top)}")


def _directory(given: str, folder: Path, root: Path, top: Path | None) -> Source:
    root = root.resolve()
    if folder in {root, top}:
        raise BaseError(f"--gpuperf-base={given}: is the tree under test itself")
    if top is not None and (folder / root.relative_to(top)).is_dir() and _top(folder) in {folder, None}:
        return Source(given, top, folder=folder)
    return Source(given, root, folder=folder)


def _why_not(given: str, folder: Path, root: Path, top: Path | None) -> str:
    if given.startswith(_PLACES):
        return f"no directory {folder}"
    if shutil.which("git") is None:
        return "git is not installed, and there is no directory of that name; check the base out and give its directory"
    if top is None:
        return f"{root} is in no git repository, and there is no directory of that name"
    if _git(root, "rev-parse", "--is-shallow-repository") == "true":
        return f"this shallow clone does not have it; fetch it first, as by git fetch origin {given}, and give FETCH_HEAD, or clone with the whole history"
    return "git knows no such commit, and there is no directory of that name"


def _top(folder: Path) -> Path | None:
    found = _git(folder, "rev-parse", "--show-toplevel")
    return Path(found).resolve() if found else None


def _git(folder: Path, *words: str) -> str | None:
    """Return what git prints; None where it fails or is not there."""
    try:
        done = _run(folder, *words)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # A hook of git's names its own repository in these.
    kept = {name: value for name, value in os.environ.items() if name not in {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}}
    return subprocess.run(
        [*_GIT, "-C", str(folder), *words], capture_output=True, text=True, errors="replace", timeout=_GIT_SECONDS, check=False, stdin=subprocess.DEVNULL,
        env=kept | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
    )  # fmt: skip


class Tree:
    """The base's files while they are needed, in a temporary directory; a directory that was given is used as it is, and stays."""

    def __init__(self, source: Source) -> None:
        """Make nothing yet."""
        self.source = source
        self.folder = Path(tempfile.mkdtemp(prefix="gpuperf-base-")).resolve()
        self.root = source.folder or self.folder / "tree"

    def make(self) -> None:
        """Check the commit out; BaseError, in one line, where git cannot."""
        if self.source.commit is None:
            return
        try:
            done = _run(self.source.top, "worktree", "add", "--detach", "--force", str(self.root), self.source.commit)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BaseError(f"git worktree add: {error}") from None
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise BaseError(f"git worktree add: {said[-1].strip() if said else f'exit status {done.returncode}'}")

    def remove(self) -> None:
        """Remove what was made, and git's note of it."""
        ours = self.source.commit is not None
        removed = ours and self.root.exists() and _git(self.source.top, "worktree", "remove", "--force", str(self.root)) is not None
        shutil.rmtree(self.folder, ignore_errors=True)
        # Only where git did not forget it: prune also forgets the user's own worktrees on a disk that is not there just now.
        if ours and not removed:
            _git(self.source.top, "worktree", "prune")


def counterpart(path: Path, top: Path, base: Path) -> Path | None:
    """Return where a path of this session's tree lies in the base's; None for what is outside of it, or installed inside of it.

    >>> counterpart(Path("/project/src"), Path("/project"), Path("/elsewhere/tree")).as_posix()
    '/elsewhere/tree/src'
    >>> counterpart(Path("/project/.venv/lib/site-packages"), Path("/project"), Path("/elsewhere/tree")) is None
    True
    """
    if not path.is_relative_to(top) or path.is_relative_to(base) or installed(path):
        return None
    return base / path.relative_to(top)


def installed(path: Path) -> bool:
    """Say whether a path is of an installation, and not of anybody's tree."""
    return bool({"site-packages", "dist-packages"} & set(path.parts))


def moved(word: str, top: Path, base: Path) -> str:
    """Return a word of the command line with this session's tree replaced by the base's.

    >>> moved("--rootdir=/project/sub", Path("/project"), Path("/b")), moved("/project2/x", Path("/project"), Path("/b"))
    ('--rootdir=/b/sub', '/project2/x')
    """
    head, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    path, colons, within = value.partition("::")
    if not Path(path).is_absolute():
        return word
    # By another name, a link perhaps, it is the same tree.
    found = counterpart(Path(path).resolve(), top, base)
    return word if found is None else f"{head}{equals}{found}{colons}{within}"

"""The lock of a device: between processes, within one, with a dead holder and with somebody else's file."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import pytest

from pytest_gpuperf.device import lock as lock_module
from pytest_gpuperf.device.lock import DeviceLock, Waited
from pytest_gpuperf.errors import GpuPerfError

HOLDER = """
import pathlib, sys, time
sys.path.insert(0, {root!r})
from pytest_gpuperf.device.lock import DeviceLock
with DeviceLock("GPU-1", pathlib.Path({folder!r})).held("t.py::test_other"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def other_process(folder):
    """Let another process hold the lock until its standard input ends."""
    code = HOLDER.format(root=str(Path(__file__).parents[1]), folder=str(folder))
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.stdin.close()
            process.wait(10)


def test_a_free_device_is_had_at_once_and_its_note_goes_with_the_lock(tmp_path):
    lock = DeviceLock("GPU-1", tmp_path / "locks")
    with lock.held("t.py::test_a") as waited:
        assert waited is None
        note = json.loads((tmp_path / "locks" / "GPU-1.json").read_text())
        assert (note["pid"], note["label"]) == (os.getpid(), "t.py::test_a")
    assert [path.name for path in (tmp_path / "locks").iterdir()] == ["GPU-1.lock"]


def test_who_waits_says_for_whom_and_how_long(tmp_path):
    told = []
    with other_process(tmp_path) as process:
        timer = threading.Timer(0.8, process.stdin.close)
        timer.start()
        with DeviceLock("GPU-1", tmp_path, on_wait=told.append).held("t.py::test_a") as waited:
            pass
        timer.join()
    assert isinstance(waited, Waited)
    assert 0.5 < waited.seconds < 5
    assert waited.holder.startswith(f"pid {process.pid} t.py::test_other (since 20")
    assert told == [waited.holder]


def test_a_short_wait_is_recorded_and_not_announced(tmp_path):
    told = []
    with other_process(tmp_path) as process:
        timer = threading.Timer(0.1, process.stdin.close)
        timer.start()
        with DeviceLock("GPU-1", tmp_path, on_wait=told.append).held("t.py::test_a") as waited:
            pass
        timer.join()
    assert waited is not None
    assert told == []


def test_another_device_is_free(tmp_path):
    with other_process(tmp_path), DeviceLock("GPU-2", tmp_path).held("t.py::test_a") as waited:
        assert waited is None


@pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
def test_a_killed_holder_frees_the_lock_and_its_note_is_not_believed(tmp_path):
    with other_process(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert (tmp_path / "GPU-1.json").exists()
        assert DeviceLock("GPU-1", tmp_path).holder() == "another process"
        with DeviceLock("GPU-1", tmp_path).held("t.py::test_a") as waited:
            assert waited is None
            assert DeviceLock("GPU-1", tmp_path).holder().startswith(f"pid {os.getpid()} t.py::test_a")


def test_it_can_be_taken_again_in_one_process_also_by_another_object(tmp_path):
    with DeviceLock("GPU-1", tmp_path).held("outer"), DeviceLock("GPU-1", tmp_path).held("inner") as waited:
        assert waited is None
        assert json.loads((tmp_path / "GPU-1.json").read_text())["label"] == "outer"
        assert not is_free(tmp_path)
    assert is_free(tmp_path)


def is_free(folder):
    code = "import sys, filelock\ntry: filelock.FileLock(sys.argv[1]).acquire(timeout=0)\nexcept filelock.Timeout: sys.exit(3)"
    return subprocess.run([sys.executable, "-c", code, folder / "GPU-1.lock"], check=False).returncode == 0


def test_threads_of_one_process_take_turns(tmp_path):
    inside, most = [], []

    def work():
        with DeviceLock("GPU-1", tmp_path).held("x"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5


def test_an_error_or_ctrl_c_inside_frees_the_lock(tmp_path):
    with pytest.raises(KeyboardInterrupt), DeviceLock("GPU-1", tmp_path).held("x"):
        raise KeyboardInterrupt
    assert is_free(tmp_path)


def test_ctrl_c_during_the_wait_leaves_nothing_held(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    with other_process(tmp_path):
        monkeypatch.setattr(lock_module.time, "sleep", interrupt)
        with pytest.raises(KeyboardInterrupt), DeviceLock("GPU-1", tmp_path).held("x"):
            pass
        monkeypatch.undo()
    assert is_free(tmp_path)
    with DeviceLock("GPU-1", tmp_path).held("x") as waited:
        assert waited is None


@pytest.mark.skipif(os.name != "posix", reason="file modes of POSIX")
def test_other_users_can_lock_too(tmp_path):
    before = os.umask(0o077)
    try:
        with DeviceLock("GPU-1", tmp_path / "locks").held("x"):
            modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "locks", tmp_path / "locks" / "GPU-1.lock")]
    finally:
        os.umask(before)
    assert modes == [0o777, 0o666]


@pytest.mark.skipif(os.name != "posix", reason="flock")
def test_a_file_of_another_user_that_may_only_be_read_still_locks(tmp_path, monkeypatch):
    class Denied(filelock.FileLock):
        def acquire(self, **_):
            raise PermissionError(13, "Permission denied")

    (tmp_path / "GPU-1.lock").touch(mode=0o444)
    monkeypatch.setattr(filelock, "FileLock", Denied)
    with DeviceLock("GPU-1", tmp_path).held("x") as waited:
        assert waited is None
        assert not is_free(tmp_path)
    assert is_free(tmp_path)
    monkeypatch.undo()
    with other_process(tmp_path) as process:
        monkeypatch.setattr(filelock, "FileLock", Denied)
        timer = threading.Timer(0.1, process.stdin.close)
        timer.start()
        with DeviceLock("GPU-1", tmp_path).held("x") as waited:
            assert waited is not None
        timer.join()


def test_a_directory_that_cannot_be_used_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GpuPerfError, match=r"^cannot lock the device: .*GPU-1\.lock: Not a directory; make its directory writable"):
        DeviceLock("GPU-1", tmp_path / "file" / "locks").held("x").__enter__()


def test_a_uuid_cannot_leave_the_directory(tmp_path):
    assert DeviceLock("../../MIG-1/2", tmp_path).path == tmp_path / ".._.._MIG-1_2.lock"


def test_nothing_is_imported_before_a_lock_is_held():
    code = "import sys, pytest_gpuperf.device.lock as m; m.DeviceLock('GPU-1'); print('filelock' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"

"""Runtime: what a session holds between its cases: options, device, instruments, lock, roofs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.identity.golden import Goldens
from pytest_gpuperf.nvtx_ranges import heard_by, listen, listening
from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_gpuperf.counters.results import Results
    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.device.lock import Waited
    from pytest_gpuperf.device.operations import Operations
    from pytest_gpuperf.options import Config
    from pytest_gpuperf.progress import Telling
    from pytest_gpuperf.static.session import Offline
    from pytest_gpuperf.timing.instruments import Instruments
    from pytest_gpuperf.timing.roofs import Roofs


class Runtime:
    """One session in one process. Nothing here touches the device before a case needs it."""

    def __init__(
        self,
        config: Config,
        backend: Backend | None,
        why: Reason | None = None,
        *,
        folder: Path | None = None,
        on_device: Callable[[dict[str, Any]], None] | None = None,
        on_wait: Callable[[str], None] | None = None,
        on_go: Callable[[], None] | None = None,
        root: Path | None = None,
    ) -> None:
        """Keep the options and the backend; `why` says why there is none, `folder` is where workers of one run share calibrations."""
        self.config, self.backend, self.folder = config, backend, folder
        self.why = why or (Reason("no-gpu") if backend is None else None)
        self._on_device, self._on_wait, self._on_go = on_device, on_wait, on_go
        #: What `golden` reads and writes; paths in its messages start at `root`.
        self.goldens = Goldens(root, update=config.update_golden)
        self._hearing = listening()
        self._instruments: Instruments | None = None
        self._operations: Operations | None = None
        self._roofs: dict[tuple[int, str], Roofs] = {}
        self._lock: Any = None
        self._streams: list[int] = []
        self.ran: set[Any] = set()
        self._kept: list[Any] = []
        self.foreign = ""
        self.lost: Reason | None = None
        self._offline: Offline | None = None
        #: What the profiled run of this session found; None where there was none.
        self.profiled: Callable[[], Results | None] = lambda: None
        #: Takes turns with the base's session; None where there is no base.
        self.paired: Callable[..., None] | None = None
        #: Gives, for a block, what tells how far a piece of work is: its node id, its name, its seconds of sampling; None where nobody is told.
        self.telling: Callable[..., contextlib.AbstractContextManager[Telling | None]] = _untold

    @property
    def device(self) -> str | None:
        """Name of the device; None without one."""
        return None if self.backend is None else self.backend.facts.name

    @property
    def uuid(self) -> str | None:
        """UUID of the device; None without one."""
        return None if self.backend is None else self.backend.facts.uuid

    @property
    def hole(self) -> Reason | None:
        """Why nothing can be measured at all; None where it can."""
        return self.lost or self.why

    @property
    def offline(self) -> Offline:
        """What compiles kernels without launching them, made at the first use."""
        if self._offline is None:
            from pytest_gpuperf.static.session import Offline
            from pytest_gpuperf.timing.launched import normal, place_of

            self._offline = Offline(self.config.kernels, self.config.archs, self.folder, normal, place_of)
            self._offline.telling = self.telling
        return self._offline

    @property
    def stream(self) -> int:
        """Handle of the stream that bodies are to launch on now."""
        from pytest_gpuperf.device.streams import current_stream

        if self._streams:
            return self._streams[-1]
        return 0 if self.backend is None else current_stream()

    @contextlib.contextmanager
    def on_stream(self, stream: int | None) -> Iterator[None]:
        """Let bodies launch on one stream for a block; None changes nothing."""
        if stream is None:
            yield
            return
        self._streams.append(stream)
        try:
            yield
        finally:
            self._streams.pop()

    def key_of(self, function: Any) -> Any:
        """Return what a function is known by among those that ran: its code, so that lambdas of one line are one; itself, or its id where it has no hash."""
        key = getattr(function, "__code__", None) or function
        try:
            hash(key)
        except TypeError:
            # Kept, so that its id is not given to another.
            self._kept.append(key)
            return id(key)
        return key

    @contextlib.contextmanager
    def locked(self, label: str) -> Iterator[Waited | None]:
        """Hold the device's lock for a block, so that nobody else times anything meanwhile."""
        from pytest_gpuperf.device.lock import DeviceLock

        if self._lock is None:
            self._lock = DeviceLock(self.uuid or "none", on_wait=self._on_wait)
        # Nobody hears of ranges while anything may be timed, but who says so.
        with self._lock.held(label) as waited, heard_by(None):
            if waited is not None and self._on_go is not None:
                self._on_go()
            yield waited

    def instruments(self, stream: int, telling: Telling | None = None) -> Instruments:
        """Open the device at the first use and calibrate, or take over the calibration of another worker; under the lock."""
        from pytest_gpuperf.timing.clock import Calibration
        from pytest_gpuperf.timing.instruments import Instruments

        if self._instruments is None:
            assert self.backend is not None
            if telling is not None:
                telling.phase("calibrating")
            self.foreign = self._foreign_load()
            stored = self._shared("calibration")
            known = Calibration(**stored) if stored else None
            self._instruments = Instruments.open(self.backend, known, stream)
            if known is None:
                self._share("calibration", dataclasses.asdict(self._instruments.calibration))
            if self._on_device is not None:
                self._on_device(self.device_record())
        return self._instruments

    def operations(self) -> Operations | None:
        """Return the device's operations, for checks that time nothing; None without a device."""
        from pytest_gpuperf.device.operations import Operations

        if self._instruments is not None:
            return self._instruments.operations
        if self.backend is None or self.lost is not None:
            return None
        if self._operations is None:
            self.backend.open()
            self._operations = Operations(self.backend)
        return self._operations

    def roofs(self, stream: int, clock: str = "device") -> Roofs:
        """Return the roofs for one stream, from the source that the times come from which are held against them."""
        from pytest_gpuperf.timing.roofs import Roofs

        if (stream, clock) not in self._roofs:
            self._roofs[stream, clock] = Roofs(self.instruments(stream), stream, self.config.limit, clock)
        return self._roofs[stream, clock]

    def device_record(self) -> dict[str, Any]:
        """Return what the run file holds of the device, as far as it is known."""
        if self.backend is None:
            return {}
        record: dict[str, Any] = dataclasses.asdict(self.backend.facts)
        tools = self._instruments
        if tools is not None:
            limits = tools.limits
            record |= {
                "compute_capability": "{}.{}".format(*limits.compute_capability),
                "sm_count": limits.sm_count,
                "l2_bytes": limits.l2_bytes,
                "tick_s": limits.tick,
                "calibration": tools.calibration.record(),
            }
        return record

    def probe(self) -> None:
        """After a failed case: see whether the context still answers; where not, nothing more can be measured in this process."""
        if self.backend is None or (self._instruments is None and self._operations is None) or self.lost is not None:
            return
        try:
            self.backend.synchronize()
        except Exception as error:  # noqa: BLE001  (whatever the driver says, the context is gone)
            self.lost = Reason("device-lost", f"the CUDA context is no longer usable: {error}")

    def close(self) -> None:
        """Give the device back, and end what compiles; errors of a lost context are not worth another line."""
        # A case that was interrupted had no chance to stop listening.
        listen(self._hearing)
        if self._offline is not None:
            self._offline.close()
        with contextlib.suppress(Exception):
            if self._instruments is not None:
                self._instruments.close()
            elif self._operations is not None and self.backend is not None:
                self._operations.close()
                self.backend.close()
        self._instruments = self._operations = None

    def _foreign_load(self) -> str:
        """Look for activity before our first launch: a busy device twice, more than one sampling period apart."""
        assert self.backend is not None
        first = self.backend.evidence()
        if (first.utilization or 0) < 10:
            return ""
        self.backend.sleep(1.2)
        again = self.backend.evidence()
        if (again.utilization or 0) < 10:
            return ""
        pids = f", processes {', '.join(map(str, again.processes))}" if again.processes else ""
        return f"the device was {first.utilization} % and {again.utilization} % busy before our first launch{pids}"

    def shared_path(self, name: str) -> Path | None:
        """Return where what is measured once a run and device lies for its other processes; None where nothing is shared."""
        return None if self.folder is None else self.folder / f"{name}-{self.uuid}.json"

    def _shared(self, name: str) -> dict[str, Any] | None:
        path = self.shared_path(name)
        if path is None or not path.exists():
            return None
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(path.read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else None
        return None

    def _share(self, name: str, record: dict[str, Any]) -> None:
        path = self.shared_path(name)
        if path is None:
            return
        # A disk that takes no more costs other workers their own calibration, never this case its record.
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(record, file)
            Path(temporary).replace(path)


def _untold(_nodeid: str = "", _name: str = "", _limit: float = 0.0) -> contextlib.AbstractContextManager[Telling | None]:
    """Tell nobody."""
    return contextlib.nullcontext()

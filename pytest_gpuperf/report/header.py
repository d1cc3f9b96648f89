"""The line at the top of a session: what is measured on, and what cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_gpuperf.options import Config
    from pytest_gpuperf.reasons import Reason


def header(backend: Any, why: Reason | None, options: Config) -> str:
    """Return one line for pytest's header: device and driver, or why there is none and what that means.

    >>> from pytest_gpuperf.options import Config
    >>> from pytest_gpuperf.reasons import Reason
    >>> header(None, Reason("no-gpu"), Config())
    'gpuperf: no NVIDIA GPU is visible to this process; limits on times are UNMEASURED, identical and close are checked'
    """
    if backend is None:
        cause = why.detail or why.cause.sentence if why is not None else "no device"
        return f"gpuperf: {cause}; limits on times are UNMEASURED, identical and close are checked"
    facts = backend.facts
    if options.sanitize:
        return f"gpuperf: {facts.name}, driver {facts.driver} (CUDA {facts.cuda}); cases run once under {options.sanitize} of compute-sanitizer, nothing is measured"
    source = "" if options.clock == "device" else f" and from {options.clock}"
    return (
        f"gpuperf: {facts.name}, driver {facts.driver} (CUDA {facts.cuda}); times are {options.cache}{source} unless said otherwise, "
        f"right to about 0.1 us, at most {options.limit:g} s a measurement"
    )

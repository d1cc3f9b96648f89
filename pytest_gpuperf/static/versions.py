"""Whether a number of the compiler's may be held against one that another version of it gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The tools that make machine code, by their names in a toolchain, and what they are called. What only disassembles changes no number.
COMPILERS = {"nvvm": "NVVM", "nvjitlink": "nvJitLink"}


def release(version: str) -> str:
    """Return major and minor number of a version.

    >>> release("13.0.88"), release("13.2"), release("13")
    ('13.0', '13.2', '13')
    """
    return ".".join(version.split(".")[:2])


def recorded(toolchain: Mapping[str, str]) -> dict[str, str]:
    """Return what a recorded limit needs to keep of a toolchain: major and minor number of what makes machine code.

    >>> recorded({"nvvm": "13.0.88", "nvjitlink": "13.0.88", "nvdisasm": "13.2.51", "numba": "0.62.1"})
    {'nvvm': '13.0', 'nvjitlink': '13.0'}
    """
    return {name: release(toolchain[name]) for name in COMPILERS if toolchain.get(name)}


def differs(limits: Mapping[str, str] | None, here: Mapping[str, str]) -> Reason | None:
    """Return why a limit that was recorded with the toolchain `limits` cannot be judged with the one that is here; None where it can.

    A limit that somebody wrote into code has no toolchain and never expires: it is a promise, not a recording. A tool whose version is not known on
    one side decides nothing.

    >>> print(differs({"nvvm": "13.0", "nvjitlink": "13.0"}, {"nvvm": "13.1.2", "nvjitlink": "13.0.88"}).detail)
    recorded with NVVM 13.0, compiled with 13.1
    >>> differs({"nvvm": "13.0"}, {"nvvm": "13.0.99"}) is None, differs(None, {"nvvm": "13.1"}) is None
    (True, True)
    """
    if not limits:
        return None
    apart = [
        f"{title} {release(limits[name])}, compiled with {release(here[name])}"
        for name, title in COMPILERS.items()
        if limits.get(name) and here.get(name) and release(limits[name]) != release(here[name])
    ]
    return Reason("toolchain-differs", f"recorded with {'; '.join(apart)}") if apart else None

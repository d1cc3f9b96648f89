"""The compilers of this environment: their versions, and what to install where one is missing or two do not go together."""

from __future__ import annotations

import dataclasses
import functools
from importlib import metadata
from pathlib import Path

#: What a compilation depends on: the name by which it is told, and its distribution, which for another CUDA may have a suffix.
_DISTRIBUTIONS = (
    ("numba-cuda", "numba-cuda"),
    ("numba", "numba"),
    ("llvmlite", "llvmlite"),
    ("numpy", "numpy"),
    ("cuda-core", "cuda-core"),
    ("cuda-bindings", "cuda-bindings"),
    ("nvvm", "nvidia-nvvm"),
    ("nvjitlink", "nvidia-nvjitlink"),
    ("nvrtc", "nvidia-cuda-nvrtc"),
)
EXTRA = "pip install 'pytest-gpuperf[static]'"


@dataclasses.dataclass(frozen=True, slots=True)
class Missing:
    """Why nothing can be compiled: a code of REASONS, and what is wrong with the line that mends it."""

    code: str
    detail: str


def versions() -> dict[str, str]:
    """Return the versions of what is installed of the compilers, by short names: numba-cuda, numba, nvvm, nvjitlink and so on."""
    found = {}
    for short, name in _DISTRIBUTIONS:
        for spelling in (name, f"{name}-cu12"):
            try:
                found[short] = metadata.version(spelling)
            except metadata.PackageNotFoundError:
                continue
            break
    return found


def unversioned(found: dict[str, str]) -> list[tuple[str, int, int]]:
    """Return which libraries compile, with size and time of each, of those whose version nobody says: of a toolkit that pip has not installed."""
    lacking = [name for name in ("nvvm", "nvjitlink") if name not in found]
    return [one for one in map(_library, lacking) if one is not None]


@functools.cache
def _library(name: str) -> tuple[str, int, int] | None:
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        path = Path(str(load_nvidia_dynamic_lib("nvJitLink" if name == "nvjitlink" else name).abs_path)).resolve()
        about = path.stat()
    except Exception:  # noqa: BLE001 - what is not found does not compile either
        return None
    return str(path), about.st_size, about.st_mtime_ns


def missing(found: dict[str, str] | None = None) -> Missing | None:
    """Return why kernels cannot be compiled here, None where they can; `found` are versions as `versions` returns them.

    >>> missing({"numba-cuda": "0.30.4", "nvvm": "13.4.1", "nvjitlink": "13.0.88"}).detail
    "nvJitLink 13.0.88 cannot read what NVVM 13.4.1 writes: pip install 'nvidia-nvvm==13.0.*'"
    """
    asked = versions() if found is None else found
    if "numba-cuda" not in asked:
        return Missing("no-compiler", f"numba-cuda is not installed: {EXTRA}")
    nvvm, linker = asked.get("nvvm"), asked.get("nvjitlink")
    if nvvm and linker and _minor(linker) < _minor(nvvm):
        pin = ".".join(map(str, _minor(linker)))
        return Missing("toolchain", f"nvJitLink {linker} cannot read what NVVM {nvvm} writes: pip install 'nvidia-nvvm=={pin}.*'")
    return _unloadable() if found is None else None


def _unloadable() -> Missing | None:
    """Return which library does not load; imports numba."""
    try:
        from numba.cuda.cudadrv import driver, nvvm
    except Exception as error:  # noqa: BLE001 - an incompatible NumPy shows as an AttributeError at import
        return Missing(
            "toolchain", f"numba-cuda cannot be imported ({str(error).splitlines()[0] if str(error) else type(error).__name__}): {EXTRA}"
        )
    try:
        nvvm.NVVM()
    except Exception as error:  # noqa: BLE001 - numba raises what its search for libraries raises
        return Missing("no-compiler", f"NVVM does not load ({str(error).splitlines()[0] if str(error) else type(error).__name__}): {EXTRA}")
    linker = getattr(driver, "_have_nvjitlink", None)  # what numba itself asks
    if linker is None:
        return Missing("toolchain", f"the numba.cuda that is imported is not that of a current numba-cuda: {EXTRA}")
    if not linker():
        return Missing("no-compiler", f"nvJitLink does not load: {EXTRA}")
    return None


def _minor(version: str) -> tuple[int, int]:
    major, _, rest = version.partition(".")
    return int(major), int(rest.partition(".")[0] or 0)

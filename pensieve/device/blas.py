"""A fast BLAS in front of MLX's CPU backend.

The CPU build of MLX for Linux brings the reference BLAS, one thread and 2 GFLOP/s. It looks its `cblas_*` functions up
in the process before it looks in its own library, so a better one that is loaded first, with its names made global,
serves it: fifty times as fast in a prefill, four times in decoding. After MLX is imported it is too late.

On macOS MLX is built on Accelerate, and with CUDA the GPU does the work: nothing is loaded there.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import psutil

from pensieve.core.errors import DeviceError

CHOICE_VARIABLE: Final = "PENSIEVE_BLAS"
_SERVED: Final = ("cblas_sgemm", "cblas_dgemm", "cblas_cgemm")
"""All that libmlx takes from a BLAS."""
_OPENBLAS_NAMES: Final = ("libopenblas.so.0", "libopenblasp.so.0", "libopenblaso.so.0", "libopenblas.so")
_AVX512: Final = frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})


@dataclass(frozen=True, slots=True)
class Blas:
    """What multiplies matrices on the CPU.

    `path` is None for the library that MLX brings, `threads` None where it is not known. `remark` says why a better
    one is not there, '' where nothing is to be said.
    """

    name: str
    path: Path | None
    threads: int | None
    remark: str = ""


_lock = threading.Lock()
_loaded: Blas | None = None
_setters: Final[list[Callable[[int], object]]] = []


def preload() -> Blas:
    """Load the BLAS that `PENSIEVE_BLAS` chooses; called again, say what was loaded.

    `auto`, the default, takes MKL from the `mkl` wheel, else the system's OpenBLAS, else leaves MLX its own. `mkl`,
    `openblas` or a path insist; `bundled` leaves MLX its own.

    Raises:
        DeviceError: the variable's value means nothing, or the library it insists on is not there or is no BLAS.
    """
    global _loaded  # noqa: PLW0603 - what is loaded into the process is a fact about the process
    with _lock:
        if _loaded is None:
            _loaded = _preload(os.environ.get(CHOICE_VARIABLE, "auto"))
        return _loaded


def set_threads(num_threads: int) -> None:
    """Multiply with so many threads from now on. Does nothing to a BLAS that cannot be told."""
    for setter in _setters:
        setter(num_threads)


def _preload(choice: str) -> Blas:
    load = _loader_of(choice)
    if sys.platform == "darwin":
        return Blas("Accelerate", None, None)
    if sys.platform != "linux" or _cuda_serves():
        return Blas("bundled", None, None)
    if "mlx.core" in sys.modules:
        return _bundled("MLX was imported before a faster one could be loaded")
    return load()


def _loader_of(choice: str) -> Callable[[], Blas]:
    """How to load what was chosen. A wrong choice is refused on every platform alike."""
    loaders = {"auto": _best, "mkl": _mkl, "openblas": _openblas, "bundled": _bundled}
    if choice in loaders:
        return loaders[choice]
    if os.sep in choice:
        return lambda: _described(_load(choice), Path(choice))
    raise DeviceError(f"{CHOICE_VARIABLE} is {choice!r}; known are {', '.join(loaders)} and the path of a library")


def _best() -> Blas:
    reasons = []
    for load in (_mkl, _openblas):
        try:
            return load()
        except DeviceError as error:
            reasons.append(str(error))
    return _bundled("; ".join(reasons))


def _bundled(remark: str = "") -> Blas:
    return Blas("bundled", None, 1, remark)


def _mkl() -> Blas:
    path = next(_mkl_paths(), None)
    if path is None:
        raise DeviceError("no MKL is found: pip install mkl")
    # Its threads come from Intel's OpenMP; without it MKL would end the process at its first call.
    openmp = path.with_name("libiomp5.so")
    os.environ.setdefault("MKL_THREADING_LAYER", "INTEL" if openmp.exists() else "SEQUENTIAL")
    if not {"MKL_NUM_THREADS", "OMP_NUM_THREADS"} & os.environ.keys():
        os.environ["MKL_NUM_THREADS"] = str(usable_cores())
    library = _load(str(path))
    text = ctypes.create_string_buffer(256)
    library.MKL_Get_Version_String(text, len(text))
    _setters.append(library.MKL_Set_Num_Threads)
    return Blas(_versioned("MKL", text.value), path, library.MKL_Get_Max_Threads())


def _mkl_paths() -> Iterator[Path]:
    """Where the `mkl` wheel put its one entry library: as its own record says, else where it goes by custom."""
    if platform.machine() != "x86_64":
        return
    try:
        recorded = metadata.files("mkl") or []
    except metadata.PackageNotFoundError:
        recorded = []
    candidates = [Path(str(file.locate())) for file in recorded if file.name.startswith("libmkl_rt.so")]
    candidates += sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so*"), reverse=True)
    yield from (path.resolve() for path in candidates if path.exists())


def _openblas() -> Blas:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(usable_cores()))
    if _cpu_flags() >= _AVX512:
        # Releases older than the CPU take it for one without AVX-512; these kernels run on every CPU that has it.
        os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
    for name in _OPENBLAS_NAMES:
        try:
            return _described(_load(name), _mapped(name))
        except DeviceError:
            continue
    raise DeviceError("no OpenBLAS is found: apt install libopenblas0")


def _load(library: str) -> ctypes.CDLL:
    """Load a library that has what MLX needs, and make its names global.

    Raises:
        DeviceError: it cannot be loaded, or is no BLAS with C names.
    """
    try:
        # First for this module alone: what is no BLAS is not to get in front of anything.
        tried = ctypes.CDLL(library)
        missing = [name for name in _SERVED if not hasattr(tried, name)]
        if missing:
            raise DeviceError(f"{library} is no BLAS that MLX can use: it lacks {missing[0]}")
        return ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise DeviceError(f"the BLAS {library} cannot be loaded: {error}") from error


def _described(library: ctypes.CDLL, path: Path | None) -> Blas:
    """OpenBLAS tells its version and threads; another library goes by its file's name."""
    if hasattr(library, "openblas_get_config"):
        library.openblas_get_config.restype = ctypes.c_char_p
        _setters.append(library.openblas_set_num_threads)
        version = _versioned("OpenBLAS", library.openblas_get_config())
        return Blas(version, path, library.openblas_get_num_threads())
    return Blas(path.name if path else "BLAS", path, None)


def _versioned(name: str, text: bytes) -> str:
    """`name` with the first version number of what a library says of itself."""
    version = re.search(r"\d+\.\d+", text.decode(errors="replace"))
    return f"{name} {version[0]}" if version else name


def _mapped(name: str) -> Path | None:
    """The file behind a library that was found by its name."""
    stem = name.partition(".so")[0]
    paths = (Path(line.split()[-1]) for line in Path("/proc/self/maps").read_text().splitlines() if stem in line)
    return next(paths, None)


def usable_cores() -> int:
    """Cores to put threads on: the physical ones, or fewer where the process is held to fewer."""
    return max(1, min(psutil.cpu_count(logical=False) or 1, len(os.sched_getaffinity(0))))


def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return frozenset(flags[1].split()) if flags else frozenset()


def has_nvidia_gpu() -> bool:
    """Whether its driver is there."""
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg"))  # the latter under WSL


def _cuda_serves() -> bool:
    """Whether this is MLX for CUDA, on a machine with a GPU for it. Without one it falls back to the CPU (G-R1)."""
    names = {(distribution.name or "").lower() for distribution in metadata.distributions()}
    return any(name.startswith("mlx-cuda") for name in names) and has_nvidia_gpu()

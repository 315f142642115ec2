"""Gives MLX's CPU backend a fast BLAS: fifty times the speed in prefill, four times in decoding.

The CPU build of MLX for Linux includes the reference BLAS, with one thread and 2 GFLOP/s. The dynamic linker looks for
its `cblas_*` functions in the process first, so a faster library that is loaded with global symbols before MLX is
imported takes its place.

Nothing is loaded on macOS, where MLX uses Accelerate, or with CUDA, where the GPU does the work.
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
"""The functions that libmlx needs from a BLAS."""
OPENBLAS_NAMES: Final = ("libopenblas.so.0", "libopenblasp.so.0", "libopenblaso.so.0", "libopenblas.so")
_AVX512: Final = frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})


@dataclass(frozen=True, slots=True)
class Blas:
    """The library that multiplies matrices on the CPU.

    `path` is None for the one that MLX includes, `threads` is None if unknown. `remark` says why no faster one is used,
    or is ''.
    """

    name: str
    path: Path | None
    threads: int | None
    remark: str = ""


_lock = threading.Lock()
_loaded: Blas | None = None
_setters: Final[list[Callable[[int], object]]] = []


def preload() -> Blas:
    """Load the BLAS that `PENSIEVE_BLAS` selects; further calls return what was loaded.

    `auto`, the default, takes MKL from the `mkl` wheel, else the system's OpenBLAS, else MLX's own. `mkl`, `openblas`
    or a path must be available; `bundled` is MLX's own.

    Raises:
        DeviceError: the variable has an unknown value, or the selected library is missing or is not a BLAS.
    """
    global _loaded  # noqa: PLW0603 - a library is loaded once per process
    with _lock:
        if _loaded is None:
            _loaded = chosen_blas(os.environ.get(CHOICE_VARIABLE, "auto"))
        return _loaded


def set_threads(num_threads: int) -> None:
    """Change the number of threads. Has no effect on a BLAS without such a setting."""
    for setter in _setters:
        setter(num_threads)


def chosen_blas(choice: str) -> Blas:
    load = _loader_of(choice)
    if sys.platform == "darwin":
        return Blas("Accelerate", None, None)
    if sys.platform != "linux" or cuda_serves():
        return Blas("bundled", None, None)
    if "mlx.core" in sys.modules:
        return _bundled("MLX was imported before a faster BLAS could be loaded")
    return load()


def _loader_of(choice: str) -> Callable[[], Blas]:
    """The loader for a choice. An unknown choice is refused on every platform."""
    loaders = {"auto": _best, "mkl": _mkl, "openblas": _openblas, "bundled": _bundled}
    if choice in loaders:
        return loaders[choice]
    if os.sep in choice:
        return lambda: _described(load_library(choice), Path(choice))
    raise DeviceError(f"{CHOICE_VARIABLE} is {choice!r}; use {', '.join(loaders)} or the path of a library")


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
    path = next(mkl_paths(), None)
    if path is None:
        raise DeviceError("MKL was not found: pip install mkl")
    # Its threads need Intel's OpenMP; without it MKL ends the process at its first call.
    openmp = path.with_name("libiomp5.so")
    os.environ.setdefault("MKL_THREADING_LAYER", "INTEL" if openmp.exists() else "SEQUENTIAL")
    if not {"MKL_NUM_THREADS", "OMP_NUM_THREADS"} & os.environ.keys():
        os.environ["MKL_NUM_THREADS"] = str(usable_cores())
    library = load_library(str(path))
    text = ctypes.create_string_buffer(256)
    library.MKL_Get_Version_String(text, len(text))
    _setters.append(library.MKL_Set_Num_Threads)
    return Blas(_versioned("MKL", text.value), path, library.MKL_Get_Max_Threads())


def mkl_paths() -> Iterator[Path]:
    """The entry library of the `mkl` wheel, from the wheel's record or in its usual place."""
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
        # Releases older than the CPU may miss its AVX-512; these kernels run on every CPU that has it.
        os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
    for name in OPENBLAS_NAMES:
        try:
            return _described(load_library(name), _mapped(name))
        except DeviceError:
            continue
    raise DeviceError("OpenBLAS was not found: apt install libopenblas0")


def load_library(library: str) -> ctypes.CDLL:
    """Load a library that has the functions MLX needs, with global symbols.

    Raises:
        DeviceError: the library cannot be loaded, or lacks one of the functions.
    """
    try:
        # Without global symbols first, so that a library that is not a BLAS cannot shadow anything.
        tried = ctypes.CDLL(library)
        missing = [name for name in _SERVED if not hasattr(tried, name)]
        if missing:
            raise DeviceError(f"{library} is not a BLAS that MLX can use: it lacks {missing[0]}")
        return ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise DeviceError(f"the BLAS {library} cannot be loaded: {error}") from error


def _described(library: ctypes.CDLL, path: Path | None) -> Blas:
    """OpenBLAS reports its version and threads; another library is named by its file."""
    if hasattr(library, "openblas_get_config"):
        library.openblas_get_config.restype = ctypes.c_char_p
        _setters.append(library.openblas_set_num_threads)
        version = _versioned("OpenBLAS", library.openblas_get_config())
        return Blas(version, path, library.openblas_get_num_threads())
    return Blas(path.name if path else "BLAS", path, None)


def _versioned(name: str, text: bytes) -> str:
    """`name` with the first version number in a library's description."""
    version = re.search(r"\d+\.\d+", text.decode(errors="replace"))
    return f"{name} {version[0]}" if version else name


def _mapped(name: str) -> Path | None:
    """The file from which a library was loaded by name."""
    stem = name.partition(".so")[0]
    paths = (Path(line.split()[-1]) for line in Path("/proc/self/maps").read_text().splitlines() if stem in line)
    return next(paths, None)


def usable_cores() -> int:
    """The physical cores that this process may use."""
    return max(1, min(psutil.cpu_count(logical=False) or 1, len(os.sched_getaffinity(0))))


def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return frozenset(flags[1].split()) if flags else frozenset()


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver is present."""
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg"))  # the latter under WSL


def cuda_serves() -> bool:
    """Whether this is MLX for CUDA on a machine with an NVIDIA GPU. Without the GPU, MLX runs on the CPU (G-R1)."""
    names = {(distribution.name or "").lower() for distribution in metadata.distributions()}
    return any(name.startswith("mlx-cuda") for name in names) and has_nvidia_gpu()

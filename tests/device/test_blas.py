"""MLX on the CPU uses the BLAS that was selected."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from pensieve.core.errors import DeviceError
from pensieve.device import blas
from pensieve.device.blas import Blas
from tests.device.python_process import run_python

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="MLX brings Accelerate there")

MULTIPLY = """
from pensieve.device.blas import preload
loaded = preload()
import mlx.core as mx
if mx.default_device() == mx.Device(mx.cpu):
    mx.eval(mx.ones((64, 64)) @ mx.ones((64, 64)))
print(loaded.name, loaded.path, loaded.threads, loaded.remark, sep="|")
"""


OPENBLAS = """
#include <stdlib.h>
char *openblas_get_config(void) { return "OpenBLAS 0.3.99 DYNAMIC_ARCH"; }
int openblas_get_num_threads(void) { return atoi(getenv("OPENBLAS_NUM_THREADS")); }
void openblas_set_num_threads(int threads) {}
void cblas_sgemm(void) {}
void cblas_dgemm(void) {}
void cblas_cgemm(void) {}
"""


def served_by(folder: Path, choice: str) -> tuple[str, str]:
    """What `preload` returns, and the library to which the dynamic linker bound libmlx's cblas_sgemm."""
    reported = run_python(MULTIPLY, PENSIEVE_BLAS=choice, LD_DEBUG="bindings", LD_DEBUG_OUTPUT=str(folder / "bindings"))
    log = "".join(path.read_text(errors="replace") for path in folder.glob("bindings*"))
    bound = re.findall(r"binding file \S*libmlx\.so \[0\] to (\S+) \[0\]: normal symbol `cblas_sgemm'", log)
    return reported, bound[-1]


def mkl_path() -> str:
    path = next(blas.mkl_paths(), None)
    if path is None:
        pytest.skip("MKL is not installed")
    return str(path)


@linux_only
def test_mlx_uses_mkl_once_it_is_preloaded(tmp_path: Path) -> None:
    path = mkl_path()
    reported, library = served_by(tmp_path, "mkl")
    assert Path(library).resolve() == Path(path)
    assert re.fullmatch(rf"MKL \d+\.\d+\|{re.escape(path)}\|\d+\|", reported)


@linux_only
def test_mlx_uses_a_library_given_by_its_path(tmp_path: Path) -> None:
    path = mkl_path()
    reported, library = served_by(tmp_path, path)
    assert Path(library).resolve() == Path(path)
    assert reported == f"{Path(path).name}|{path}|None|"


@linux_only
@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_mlx_uses_the_systems_openblas_if_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "openblas.c").write_text(OPENBLAS)
    library = tmp_path / "libopenblas.so.0"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "openblas.c"], check=True)  # noqa: S607
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    reported, serving = served_by(tmp_path, "openblas")
    assert Path(serving) == library
    assert reported == f"OpenBLAS 0.3|{library}|{blas.usable_cores()}|"


@linux_only
def test_mlx_uses_its_bundled_blas_if_selected(tmp_path: Path) -> None:
    reported, library = served_by(tmp_path, "bundled")
    assert "mkl" not in library
    assert reported == "bundled|None|1|"


@linux_only
def test_after_mlx_is_imported_the_bundled_blas_stays_and_the_reason_is_given() -> None:
    reported = run_python(f"import mlx.core\n{MULTIPLY}", PENSIEVE_BLAS="auto")
    assert reported == "bundled|None|1|MLX was imported before a faster BLAS could be loaded"


@linux_only
def test_the_users_number_of_threads_is_kept() -> None:
    mkl_path()
    assert run_python(MULTIPLY, PENSIEVE_BLAS="mkl", MKL_NUM_THREADS="1").split("|")[2] == "1"


def test_preload_returns_the_same_again() -> None:
    assert blas.preload() is blas.preload()


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_an_unknown_choice_is_refused_on_every_platform(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(DeviceError, match="PENSIEVE_BLAS is 'fastest'; use auto, mkl, openblas, bundled"):
        blas.chosen_blas("fastest")


@linux_only
@pytest.mark.parametrize(
    ("choice", "message"),
    [("/nowhere/libblas.so", "cannot be loaded"), ("./libm.so.6", "cannot be loaded|is not a BLAS")],
)
def test_a_library_that_is_not_a_blas_is_refused(monkeypatch: pytest.MonkeyPatch, choice: str, message: str) -> None:
    monkeypatch.delitem(sys.modules, "mlx.core", raising=False)
    with pytest.raises(DeviceError, match=message):
        blas.chosen_blas(choice)


@linux_only
def test_a_library_without_matrix_multiplication_is_not_a_blas() -> None:
    with pytest.raises(DeviceError, match="lacks cblas_sgemm"):
        blas.load_library("libm.so.6")


@linux_only
def test_without_a_fast_blas_the_remark_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Iterator[Path]:
        return iter(())

    monkeypatch.delitem(sys.modules, "mlx.core", raising=False)
    monkeypatch.setattr(blas, "mkl_paths", none)
    monkeypatch.setattr(blas, "OPENBLAS_NAMES", ("libno-such-blas.so",))
    loaded = blas.chosen_blas("auto")
    assert loaded.name == "bundled"
    assert "pip install mkl" in loaded.remark
    assert "libopenblas0" in loaded.remark


def test_macos_uses_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert blas.chosen_blas("auto") == Blas("Accelerate", None, None)


def test_mlx_for_cuda_with_a_gpu_needs_no_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "distributions", lambda: [SimpleNamespace(name="mlx-cuda-13")])
    monkeypatch.setattr(blas, "has_nvidia_gpu", lambda: True)
    assert blas.cuda_serves()
    monkeypatch.setattr(blas, "has_nvidia_gpu", lambda: False)
    assert not blas.cuda_serves()


@linux_only
def test_threads_use_at_least_one_core_and_only_allowed_ones() -> None:
    assert 1 <= blas.usable_cores() <= len(os.sched_getaffinity(0))


@linux_only
def test_the_number_of_threads_can_be_changed_at_run_time() -> None:
    mkl_path()
    reported = run_python(
        "from pensieve.device.blas import preload, set_threads\n"
        "import ctypes\n"
        "loaded = preload()\n"
        "library = ctypes.CDLL(str(loaded.path))\n"
        "set_threads(1)\n"
        "print(library.MKL_Get_Max_Threads())\n",
        PENSIEVE_BLAS="mkl",
        MKL_NUM_THREADS="2",
    )
    assert reported.strip() == "1"

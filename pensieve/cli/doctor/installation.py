"""Checks of what is installed: versions, the device and the BLAS."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Final

from packaging.requirements import Requirement

from pensieve import __version__
from pensieve.cli.doctor.check import IS_MAC, CheckResult, Subject, install_command, ok, problem, skipped

_DISTRIBUTION: Final = "pensieve-server"
_BLAS_VARIABLE: Final = "PENSIEVE_BLAS"
_UNSET_BLAS: Final = f"unset {_BLAS_VARIABLE}, so that the best one here is chosen"
_SHOWN: Final = ("mlx", "mlx-lm", "transformers", "huggingface-hub")
_MLX_LIBRARIES: Final = ("mlx-cpu", "mlx-cuda-12", "mlx-cuda-13")
"""Distributions that install one and the same file."""


def versions(_: Subject) -> CheckResult:
    shown = ", ".join(f"{name} {found}" for name in _SHOWN if (found := _version(name)))
    system = f"macOS {platform.mac_ver()[0]}" if IS_MAC else platform.system()
    what = f"Pensieve {__version__}, Python {platform.python_version()}, {shown}, {system} on {platform.machine()}"
    if IS_MAC and platform.machine() != "arm64":
        return problem(f"{what}: this Python runs under Rosetta", "install a Python for arm64, and Pensieve in it")
    wrong = unsatisfied(metadata.requires(_DISTRIBUTION) or []) if _version(_DISTRIBUTION) else []
    if wrong:
        return problem(f"{what}, but {'; '.join(wrong)}", install_command())
    libraries = [name for name in _MLX_LIBRARIES if _version(name)]
    if len(libraries) > 1:
        fix = f"pip uninstall {' '.join(libraries)}, then {install_command()}"
        return problem(f"{' and '.join(libraries)} are both installed, and overwrite each other's files", fix)
    return ok(what)


def unsatisfied(requirements: list[str]) -> list[str]:
    """Requirements without an extra that are not installed in a suitable version, as phrases."""
    wrong = []
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _version(requirement.name)
        if found is None:
            wrong.append(f"{requirement.name} is missing")
        elif not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} is {found}, not {requirement.specifier}")
    return wrong


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def device(subject: Subject) -> CheckResult:
    found = subject.device
    if found.error:
        chosen = subject.environment.get(_BLAS_VARIABLE)
        return problem(found.error, _UNSET_BLAS if chosen and chosen in found.error else install_command())
    if found.why_no_gpu and found.has_gpu:
        fix = "run it on the Mac itself, not in a virtual machine" if IS_MAC else install_command("cuda13")
        return problem(f"{found.description}: {found.why_no_gpu}", fix)
    return ok(found.description)


def blas(subject: Subject) -> CheckResult:
    found = subject.device
    if found.error:
        return skipped("unknown without a device")
    if found.backend != "cpu":
        return ok("not needed: the GPU does the work")
    if found.blas != "bundled":
        return ok(f"{found.blas}, {found.blas_threads or 'an unknown number of'} threads")
    if not found.blas_remark:
        return problem(f"MLX's own, which is fifty times slower (chosen by {_BLAS_VARIABLE})", _UNSET_BLAS)
    fix = install_command("cpu") if platform.machine() == "x86_64" else "sudo apt install libopenblas0"
    return problem(f"MLX's own, which is fifty times slower ({found.blas_remark})", fix)

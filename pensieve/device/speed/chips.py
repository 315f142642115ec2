"""Apple's chips (`chips.toml`), and the rates that inference reaches on them (U3).

A chip is identified by the name that MLX and macOS report. Some names stand for GPUs of several sizes, with different
memory bandwidth in one case. If the size is unknown, the smallest is assumed, and the description says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import mean
from typing import Any, Final

from pensieve.core.fit.roofline import DeviceRates

_UNITS_PER_CORE: Final = 128
_MEASURED_BYTES: Final = 3.56 * 2**30
_MEASURED_PARAMETERS: Final = 6.74e9
_PROFILER_TIMEOUT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Chip:
    """One row of the table."""

    name: str
    class_: str
    gpu_cores: tuple[int, ...]
    bandwidth_gb_s: float
    gpu_clock_ghz: float
    source: str

    @property
    def bandwidth_bytes_per_second(self) -> float:
        return self.bandwidth_gb_s * 1e9

    def flops_per_second(self, gpu_cores: int) -> float:
        return gpu_cores * _UNITS_PER_CORE * 2 * self.gpu_clock_ghz * 1e9


@dataclass(frozen=True, slots=True)
class Measurement:
    """What inference reached on one chip, as shares of the chip's bandwidth and arithmetic."""

    name: str
    class_: str
    bandwidth_share: float
    compute_share: float


@cache
def chips() -> tuple[Chip, ...]:
    return tuple(
        Chip(
            row["name"],
            row["class"],
            tuple(row["gpu_cores"]),
            float(row["bandwidth_gb_s"]),
            row["gpu_clock_ghz"],
            row["source"],
        )
        for row in _table()["chip"]
    )


@cache
def measurements() -> tuple[Measurement, ...]:
    found = []
    for row in _table()["measured"]:
        chip = _row(row["name"], row["gpu_cores"])
        flops = 2 * _MEASURED_PARAMETERS * row["prompt_tokens_per_second"] / chip.flops_per_second(row["gpu_cores"])
        read = _MEASURED_BYTES * row["tokens_per_second"] / chip.bandwidth_bytes_per_second
        found.append(Measurement(row["name"], row["class"], read, flops))
    return tuple(found)


def chip_rates(name: str, gpu_cores: int | None = None) -> tuple[DeviceRates, str] | None:
    """A chip's rates and a phrase that names their source, or None if the table does not have the chip."""
    rows = [chip for chip in chips() if chip.name == name]
    if not rows:
        return None
    known = [cores for chip in rows for cores in chip.gpu_cores]
    cores = gpu_cores if gpu_cores in known else min(known)
    chip = _row(name, cores)
    flops = chip.flops_per_second(cores)
    shares = _shares(chip)
    rates = DeviceRates(
        chip.bandwidth_bytes_per_second,
        flops,
        flops,
        bandwidth_share=mean(share.bandwidth_share for share in shares),
        compute_share=mean(share.compute_share for share in shares),
    )
    size = f"{cores} GPU cores" + ("" if gpu_cores in known or len(known) == 1 else ", the fewest of this chip")
    return rates, (
        f"{name}, {size}: {chip.bandwidth_gb_s:g} GB/s ({chip.source}), of which inference reaches "
        f"{rates.bandwidth_share:.0%} on {', '.join(share.name for share in shares)} (llama.cpp, discussion 4167)"
    )


def gpu_cores() -> int | None:
    """The number of GPU cores of this Mac, or None if it is not a Mac or macOS does not report it."""
    if sys.platform != "darwin":
        return None
    command = ["/usr/sbin/system_profiler", "-json", "SPDisplaysDataType"]
    try:
        profile = subprocess.run(command, capture_output=True, timeout=_PROFILER_TIMEOUT_SECONDS, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return gpu_cores_in(profile.stdout)


def gpu_cores_in(profile: bytes) -> int | None:
    """The number of GPU cores in system_profiler's JSON report of the displays."""
    try:
        for device in json.loads(profile)["SPDisplaysDataType"]:
            if "sppci_cores" in device:
                return int(device["sppci_cores"])
    except (ValueError, KeyError, TypeError):
        pass
    return None


def _shares(chip: Chip) -> Sequence[Measurement]:
    own = [measured for measured in measurements() if measured.name == chip.name]
    return own or [measured for measured in measurements() if measured.class_ == chip.class_]


def _row(name: str, gpu_cores: int) -> Chip:
    return next(chip for chip in chips() if chip.name == name and gpu_cores in chip.gpu_cores)


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files("pensieve.device.speed").joinpath("chips.toml").read_text(encoding="utf-8"))

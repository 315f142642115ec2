"""The speed of this machine and its source: a table for Apple's chips, a measurement for other machines (U3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from typing import Final

from pensieve.core.fit.roofline import DeviceRates
from pensieve.device.device import device_info
from pensieve.device.speed.chips import chip_rates, gpu_cores
from pensieve.device.speed.probe import measure_rates
from pensieve.models.files.memo import Memo

_MEMO_FILE: Final = "speed.json"


def machine_rates(report: Callable[[str], None], *, remeasure: bool = False) -> tuple[DeviceRates, str]:
    """The rates, and a phrase that states their source. With `remeasure`, they are measured whatever is known.

    Measured rates are kept for this device, its BLAS and this version of MLX.
    """
    device = device_info()
    if device.backend == "metal" and not remeasure:
        listed = chip_rates(device.chip, gpu_cores())
        if listed is not None:
            return listed
    memo, key = Memo(_MEMO_FILE), "|".join([device.describe(), device.chip, version("mlx")])
    rates = None if remeasure else _rates(memo.read().get(key))
    if rates is None:
        rates = measure_rates(report)
        memo.add({key: asdict(rates)})
    return rates, (
        f"{device.chip}: {rates.bandwidth_bytes_per_second / 1e9:.0f} GB/s and "
        f"{rates.flops_per_second / 1e9:.0f} GFLOP/s, measured on this machine with MLX (--probe measures again)"
    )


def _rates(entry: object) -> DeviceRates | None:
    """None for an entry of another version, or a damaged one."""
    try:
        rates = DeviceRates(**entry)  # type: ignore[arg-type]
    except TypeError:
        return None
    return rates if rates.bandwidth_bytes_per_second > 0 and rates.flops_per_second > 0 else None

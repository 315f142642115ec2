"""The rates of this machine, and where they are from: Apple's chips from a table, others measured once (U3)."""

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


def machine_rates(report: Callable[[str], None], *, anew: bool = False) -> tuple[DeviceRates, str]:
    """Rates and a phrase that says whence. With `anew` they are measured, whatever is known.

    What was measured is kept under PENSIEVE_HOME for this device, its BLAS and this version of MLX.
    """
    device = device_info()
    if device.backend == "metal" and not anew:
        listed = chip_rates(device.chip, gpu_cores())
        if listed is not None:
            return listed
    memo, key = Memo(_MEMO_FILE), "|".join([device.describe(), device.chip, version("mlx")])
    rates = None if anew else _rates(memo.read().get(key))
    if rates is None:
        rates = measure_rates(report)
        memo.add({key: asdict(rates)})
    return rates, (
        f"{device.chip}: {rates.bandwidth_bytes_per_second / 1e9:.0f} GB/s and "
        f"{rates.flops_per_second / 1e9:.0f} GFLOP/s, measured here with MLX (measure anew with --probe)"
    )


def _rates(kept: object) -> DeviceRates | None:
    """None of what was written by another version, or damaged."""
    try:
        rates = DeviceRates(**kept)  # type: ignore[arg-type]
    except TypeError:
        return None
    return rates if rates.bandwidth_bytes_per_second > 0 and rates.flops_per_second > 0 else None

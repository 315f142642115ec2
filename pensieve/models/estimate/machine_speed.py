"""The speed of this machine and its source: a table for Apple's chips, a measurement for other machines (U3)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Final

import psutil
import pydantic

from pensieve.core.fit.roofline import DeviceRates
from pensieve.device.device import device_info
from pensieve.device.speed.chips import chip_rates, gpu_cores
from pensieve.device.speed.probe import measure_rates
from pensieve.models.files.memo import Memo

_MEMO_FILE: Final = "speed.json"
_DISTURBING_SHARE: Final = 0.25
_RETRY_SECONDS: Final = 600.0


def machine_rates(report: Callable[[str], None], *, remeasure: bool = False) -> tuple[DeviceRates, str]:
    """The rates, and a phrase that states their source. With `remeasure`, they are measured whatever is known.

    Measured rates are kept for this device, its BLAS and this version of MLX; those of a busy machine for ten minutes.
    """
    device = device_info()
    if device.backend == "metal" and not remeasure:
        listed = chip_rates(device.chip, gpu_cores())
        if listed is not None:
            return listed
    memo, key = Memo(_MEMO_FILE), "|".join([device.describe(), device.chip, version("mlx")])
    kept = None if remeasure else _kept(memo.read().get(key))
    if kept is None or kept.is_due():
        kept = _measured(report, kept)
        memo.add({key: asdict(kept)})
    return kept.rates, (
        f"{device.chip}: {kept.rates.bandwidth_bytes_per_second / 1e9:.0f} GB/s and "
        f"{kept.rates.flops_per_second / 1e9:.0f} GFLOP/s, measured on this machine with MLX{kept.remark()}"
    )


@dataclass(frozen=True, slots=True)
class _Measurement:
    """`others_share` is the share of the processors that other programs used meanwhile; `at` is in Unix time."""

    rates: DeviceRates
    others_share: float
    at: float

    @property
    def was_disturbed(self) -> bool:
        return self.others_share > _DISTURBING_SHARE

    def is_due(self) -> bool:
        """Whether to measure again, in the hope of a quieter machine."""
        return self.was_disturbed and not 0 <= time.time() - self.at < _RETRY_SECONDS

    def remark(self) -> str:
        if self.was_disturbed:
            return (
                f" while other programs used {self.others_share:.0%} of its processors, so it may be faster "
                "(it is measured again later, or now with --probe)"
            )
        return " (--probe measures again)"


_MEASUREMENT: Final = pydantic.TypeAdapter(_Measurement)


def _measured(report: Callable[[str], None], before: _Measurement | None) -> _Measurement:
    """The better of two disturbed measurements: disturbances only ever make one slower."""
    used, own, begun = _used_seconds(), time.process_time(), time.monotonic()
    rates = measure_rates(report)
    processor_seconds = (time.monotonic() - begun) * (psutil.cpu_count() or 1)
    others = max(0.0, _used_seconds() - used - (time.process_time() - own)) / max(processor_seconds, 1e-9)
    if before is not None and before.rates.bandwidth_bytes_per_second > rates.bandwidth_bytes_per_second:
        rates = before.rates
    return _Measurement(rates, min(others, 1.0), time.time())


def _used_seconds() -> float:
    """Processor time that all programs have used since the machine started."""
    times = psutil.cpu_times()
    return float(times.user + times.system)


def _kept(entry: object) -> _Measurement | None:
    """None for an entry of another version, or a damaged one."""
    try:
        kept = _MEASUREMENT.validate_python(entry)
    except ValueError:
        return None
    is_positive = kept.rates.bandwidth_bytes_per_second > 0 and kept.rates.flops_per_second > 0
    return kept if is_positive and kept.others_share + kept.at >= 0 else None

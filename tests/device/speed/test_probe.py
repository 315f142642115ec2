"""Measuring the machine gives figures that can be true, in the time that is allowed."""

from __future__ import annotations

from pensieve.device.speed.probe import measure_rates


def test_a_probe_is_quick_and_tells_what_it_does() -> None:
    told: list[str] = []
    rates = measure_rates(told.append, max_seconds=0.4)
    assert len(told) == 4
    assert 1e8 < rates.bandwidth_bytes_per_second < 1e14
    assert 1e8 < rates.flops_per_second < 1e16
    assert 1e7 < rates.attention_flops_per_second < 1e16
    assert 1e-8 < rates.operation_seconds < 1e-2
    assert rates.bandwidth_share == rates.compute_share == 1

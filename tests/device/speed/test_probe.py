"""Measuring the machine gives plausible rates in the allowed time."""

from __future__ import annotations

from pensieve.device.speed.probe import measure_rates


def test_a_probe_is_quick_and_reports_its_parts() -> None:
    reported: list[str] = []
    rates = measure_rates(reported.append, max_seconds=0.4)
    assert len(reported) == 4
    assert 1e8 < rates.bandwidth_bytes_per_second < 1e14
    assert 1e8 < rates.flops_per_second < 1e16
    assert 1e7 < rates.attention_flops_per_second < 1e16
    assert 1e-8 < rates.operation_seconds < 1e-2
    assert rates.bandwidth_share == rates.compute_share == 1

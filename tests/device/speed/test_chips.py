"""The table of chips, against the figures that Apple has published."""

from __future__ import annotations

import pytest

from pensieve.core.fit.roofline import TokenCost, limit_tokens_per_second, tokens_per_second
from pensieve.device.speed.chips import chip_rates, chips, gpu_cores, gpu_cores_in, measurements

SIX_BILLION = TokenCost(bytes_per_token=3_800_000_000, active_parameters=6_700_000_000)


def test_an_m1_allows_18_tokens_per_second_of_a_6_7b_model() -> None:
    found = chip_rates("Apple M1", 8)
    assert found is not None
    assert limit_tokens_per_second(SIX_BILLION, found[0]) == pytest.approx(18, abs=0.5)
    assert tokens_per_second(SIX_BILLION, found[0]) < 18


@pytest.mark.parametrize(
    ("name", "cores", "teraflops"),
    [
        ("Apple M1", 8, 2.6),
        ("Apple M1 Pro", 16, 5.2),
        ("Apple M1 Max", 32, 10.4),
        ("Apple M1 Ultra", 64, 21),
        ("Apple M2", 10, 3.6),
    ],
)
def test_rates_match_those_that_apple_published(name: str, cores: int, teraflops: float) -> None:
    chip = next(chip for chip in chips() if chip.name == name)
    assert chip.flops_per_second(cores) == pytest.approx(teraflops * 1e12, rel=0.02)


def test_measured_rates_stay_below_the_limit() -> None:
    for measured in measurements():
        assert 0.5 < measured.bandwidth_share < 0.9, measured
        assert 0.5 < measured.compute_share < 0.9, measured


def test_every_chip_has_a_source_and_rates() -> None:
    names = {chip.name for chip in chips()}
    assert {f"Apple M{n}{kind}" for n in (1, 2, 3, 4, 5) for kind in ("", " Pro", " Max")} <= names
    for chip in chips():
        assert chip.source.startswith("Apple ")
        found = chip_rates(chip.name)
        assert found is not None
        assert found[0].bandwidth_bytes_per_second > 0


def test_the_size_of_the_gpu_selects_the_row_of_a_shared_name() -> None:
    small, large, unknown = (chip_rates("Apple M3 Max", cores) for cores in (30, 40, None))
    assert small is not None
    assert large is not None
    assert unknown is not None
    assert (small[0].bandwidth_bytes_per_second, large[0].bandwidth_bytes_per_second) == (300e9, 400e9)
    assert unknown[0] == small[0]
    assert "the fewest of this chip" in unknown[1]
    assert "the fewest" not in large[1]


def test_an_unknown_chip_has_no_rates() -> None:
    assert chip_rates("AMD EPYC") is None


def test_gpu_cores_are_read_from_the_report_of_macos() -> None:
    profile = b'{"SPDisplaysDataType": [{"_name": "Apple M1 Pro", "sppci_cores": "16", "sppci_model": "Apple M1 Pro"}]}'
    assert gpu_cores_in(profile) == 16
    for damaged in (b"", b"{}", b'{"SPDisplaysDataType": [{"sppci_cores": "many"}]}', b'{"SPDisplaysDataType": 3}'):
        assert gpu_cores_in(damaged) is None
    assert gpu_cores() is None or 1 < int(gpu_cores() or 0) < 200

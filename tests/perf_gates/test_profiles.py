"""The gates that apply follow from the machine's backend and chip."""

from __future__ import annotations

import pytest

from contracts.gates import Profile
from pensieve.device.blas import Blas
from pensieve.device.device import Backend, DeviceInfo
from perf_gates.reporting.profiles import profile_for


@pytest.mark.parametrize(
    ("backend", "chip", "profile"),
    [
        ("cpu", "Intel Xeon", Profile.CPU),
        ("cuda", "NVIDIA H100", Profile.CUDA),
        ("metal", "Apple M1", Profile.M1_16GB),
        ("metal", "Apple M1 Pro", Profile.M1_PRO_16GB),
        ("metal", "Apple M3", Profile.M1_PRO_16GB),
    ],
)
def test_a_machine_gets_its_profile(backend: Backend, chip: str, profile: Profile) -> None:
    assert profile_for(DeviceInfo(backend, chip, 1, Blas("bundled", None, None))) is profile

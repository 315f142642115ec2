"""Which of the specification's machines this one is, so that its gates decide."""

from __future__ import annotations

from contracts.gates import Profile
from pensieve.device.device import DeviceInfo

CHOICES = tuple(profile.value for profile in Profile if profile is not Profile.ANY)


def profile_for(device: DeviceInfo) -> Profile:
    """The profile of a device. A Mac that is none of the specification's is held to what a M1 Pro has to reach.

    Every Apple chip but the plain M1 has at least the bandwidth that its figures were worked out from.
    """
    if device.backend == "cpu":
        return Profile.CPU
    if device.backend == "cuda":
        return Profile.CUDA
    return Profile.M1_16GB if device.chip.strip().removeprefix("Apple ") == "M1" else Profile.M1_PRO_16GB

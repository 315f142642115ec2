"""Chooses the gates that apply on this machine."""

from __future__ import annotations

from contracts.gates import Profile
from pensieve.device.device import DeviceInfo

CHOICES = tuple(profile.value for profile in Profile if profile is not Profile.ANY)


def profile_for(device: DeviceInfo) -> Profile:
    """Macs without a profile of their own use the M1 Pro's.

    Every Apple chip except the plain M1 has at least the memory bandwidth assumed by the M1 Pro's limits.
    """
    if device.backend == "cpu":
        return Profile.CPU
    if device.backend == "cuda":
        return Profile.CUDA
    return Profile.M1_16GB if device.chip.strip().removeprefix("Apple ") == "M1" else Profile.M1_PRO_16GB

"""Why an engine can no longer answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineFault:
    """`reason` is a clause for the log and for `/health`. An engine whose thread hangs cannot be loaded again in the
    same process, since the thread keeps its memory and the device.
    """

    reason: str
    can_reload: bool

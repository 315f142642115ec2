"""How much may be written to the folder in a day, and how much was: flash memory wears out by writing (C2).

The count is a file in the folder, so it survives restarts and all processes that share the folder add to it. Its owner
holds the folder's lock while changing it.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from contracts.values.measurements import DiskWrites
from pensieve.core.prefixes.worth import Worth
from pensieve.engine.prompt_cache.disk.file import TEMPORARY_PREFIX
from pensieve.models.files.atomic_file import atomic_file
from pensieve.models.files.json_file import read_json

log = logging.getLogger(__name__)

FILE: Final = "writes.json"
_HOUR: Final = 3600
_DAY_HOURS: Final = 24
_GB: Final = 1000**3


class WriteBudget:
    """`day_bytes` may be written within 24 hours; None for any number. Every method may be called from any thread.

    Bytes are counted by the hour and leave the count when all of their hour is more than 24 hours ago.
    """

    def __init__(self, folder: Path, day_bytes: int | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._path = folder / FILE
        self._day_bytes = day_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._by_hour: dict[int, int] = self._read()
        self._skipped_bytes = 0
        self._has_warned = False

    def allows(self, num_bytes: int, worth: Worth, *, waiting_bytes: int = 0) -> bool:
        """Whether a prefix may be written, after others of `waiting_bytes`. Reads no file."""
        if self._day_bytes is None:
            return True
        with self._lock:
            after = self._written_bytes() + waiting_bytes + num_bytes
            self._has_warned &= after > Worth.SHORT.value * self._day_bytes
            if after <= worth.value * self._day_bytes:
                return True
            self._skipped_bytes += num_bytes
            self._warn(self._day_bytes)
            return False

    def refresh(self) -> None:
        """See what other processes have written."""
        found = self._read()
        with self._lock:
            self._by_hour = found

    def spend(self, num_bytes: int) -> None:
        """Count bytes that are about to be written. The caller holds the folder's lock.

        Raises:
            OSError: the count cannot be written.
        """
        found = self._read()
        hour = int(self._clock() // _HOUR)
        found[hour] = found.get(hour, 0) + num_bytes
        with self._lock:
            self._by_hour = found
        with atomic_file(self._path, prefix=TEMPORARY_PREFIX) as file:
            file.write(json.dumps(found).encode())

    def usage(self) -> DiskWrites:
        """As of the last write of this process. Reads no file."""
        with self._lock:
            return DiskWrites(self._written_bytes(), self._day_bytes, self._skipped_bytes)

    def _written_bytes(self) -> int:
        oldest = self._oldest_hour()
        return sum(num_bytes for hour, num_bytes in self._by_hour.items() if hour >= oldest)

    def _oldest_hour(self) -> int:
        return int(self._clock() // _HOUR) - _DAY_HOURS

    def _warn(self, day_bytes: int) -> None:
        """Once, until there is room for everything again. A budget of 0 is what the user wants."""
        if not self._has_warned and day_bytes:
            self._has_warned = True
            log.warning(
                "%.2f of the %.2f GB that --cache-writes allows in 24 hours are written: from now on, what is worth "
                "less is kept in memory only",
                self._written_bytes() / _GB,
                day_bytes / _GB,
            )

    def _read(self) -> dict[int, int]:
        """By the hour since 1970. A file that cannot be read counts as empty, and so do hours that are yet to come: a
        wrong clock must not stop all writing.
        """
        try:
            given = read_json(self._path)
            found = {int(hour): int(num_bytes) for hour, num_bytes in given.items()}
        except (OSError, ValueError, TypeError, AttributeError, OverflowError):
            return {}
        oldest = self._oldest_hour()
        return {hour: size for hour, size in found.items() if oldest <= hour <= oldest + _DAY_HOURS and size > 0}

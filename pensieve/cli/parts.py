"""The parts that differ between serving a model and playing a script."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from pensieve.engine.performance import SlidingWindowMonitor
from pensieve.engine.scripted import ScriptedEngine, load_script
from pensieve.metal.ledger import Ledger

if TYPE_CHECKING:
    from pensieve.cli.settings import Settings
    from pensieve.engine.keeping import Keeping
    from pensieve.engine.loaded_models import ServedModel

SEED_LIMIT_BYTES = 12 * 1000**3
SHARE_OF_MACHINE = 0.75
MOST_DISK_BYTES = 10 * 1000**3


@dataclass(frozen=True, slots=True)
class Parts:
    """`start` turns a source into a running engine; `device` is what the startup line says of the hardware."""

    source: str
    device: str
    memory: Ledger
    monitor: SlidingWindowMonitor
    start: Callable[[str], Awaitable[ServedModel]]


def default_capacity_bytes() -> int:
    """12 GB, or three quarters of the machine where that is less."""
    return int(min(SEED_LIMIT_BYTES, SHARE_OF_MACHINE * psutil.virtual_memory().total))


def _keeping(settings: Settings, capacity_bytes: int) -> Keeping:
    """A quarter of the memory, and 10 GB of disk or a tenth of what is free, unless the user has it otherwise."""
    from pensieve.engine.keeping import Keeping  # noqa: PLC0415
    from pensieve.models.home import home  # noqa: PLC0415

    folder = home()
    folder.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(folder).free
    disk_bytes = min(MOST_DISK_BYTES, free_bytes // 10) if settings.cache_disk is None else settings.cache_disk
    return Keeping(
        memory_bytes=capacity_bytes // 4 if settings.cache_memory is None else settings.cache_memory,
        disk_bytes=disk_bytes,
        home=folder if disk_bytes else None,
    )


def parts_for(settings: Settings) -> Parts:
    """A script alone needs no model; with one, the script's words are forced through it.

    Raises:
        PensieveError: what `scripted_parts` and `real_parts` raise.
    """
    return scripted_parts(settings.script) if settings.script and not settings.model else real_parts(settings)


def scripted_parts(path: Path) -> Parts:
    """No model, no MLX.

    Raises:
        ModelLoadingError: the script cannot be read.
    """
    script = load_script(path)
    memory = Ledger(default_capacity_bytes())
    monitor = SlidingWindowMonitor(memory.usage)

    async def start(source: str) -> ServedModel:  # noqa: ARG001 - there is one script
        return ScriptedEngine(script, memory, monitor)

    return Parts(str(path), "a script, no model", memory, monitor, start)


def real_parts(settings: Settings) -> Parts:
    """A model on MLX. A fast BLAS has to be in the process before MLX is, so what imports MLX is imported here.

    Raises:
        DeviceError: the BLAS that was asked for cannot be loaded.
        ModelLoadingError: there is no such model, or the script cannot be read.
    """
    from pensieve.metal import blas  # noqa: PLC0415

    blas.preload()
    from pensieve.engine.engine import Engine  # noqa: PLC0415
    from pensieve.engine.options import EngineOptions  # noqa: PLC0415
    from pensieve.metal.device import device_info  # noqa: PLC0415
    from pensieve.metal.memory import DeviceMemory  # noqa: PLC0415
    from pensieve.models.embedded import SMOLLM2  # noqa: PLC0415
    from pensieve.models.progress import ConsoleProgress  # noqa: PLC0415
    from pensieve.models.sources import resolve  # noqa: PLC0415

    source = settings.model or SMOLLM2.name
    folder = resolve(source, progress=ConsoleProgress())  # on the main thread: Ctrl-C ends a long download at once
    script = load_script(settings.script) if settings.script else None
    memory = DeviceMemory(default_capacity_bytes())
    monitor = SlidingWindowMonitor(memory.usage)

    options = EngineOptions(script=script, keeping=_keeping(settings, memory.capacity_bytes))

    async def start(wanted: str) -> ServedModel:
        found = folder if wanted == source else await asyncio.to_thread(resolve, wanted, progress=ConsoleProgress())
        return await Engine.start(found, memory, monitor, options)

    device = device_info().say() + (", forced to say a script" if script else "")
    return Parts(source, device, memory, monitor, start)

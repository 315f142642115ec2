"""The parts that differ between serving a model and playing a script."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import psutil

from pensieve.cli.settings.model_settings import read_model_settings, require_known_names
from pensieve.core.defaults.model_settings import ModelSettings
from pensieve.core.errors import ValidationError
from pensieve.device.memory.ledger import Ledger
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.scripted.engine import SCRIPTED_INFO, ScriptedEngine
from pensieve.engine.scripted.script import load_script
from pensieve.models.estimate.known_model import KnownModel, known_model

if TYPE_CHECKING:
    from pensieve.cli.settings.settings import Settings
    from pensieve.engine.prompt_cache.open import CacheOptions
    from pensieve.models.files.model_folder import ModelFolder
    from pensieve.serving.served_model import ServedModel

GB = 1000**3
SEED_LIMIT_BYTES = 12 * GB
SHARE_OF_MACHINE = 0.75
MAX_DISK_BYTES = 10 * GB


@dataclass(frozen=True, slots=True)
class ServerComponents:
    """`start` turns a source into a running engine; `device` is what the startup line says of the hardware.

    `known` are the models that clients may ask for. The first is the one that the server is started for.
    """

    known: tuple[KnownModel, ...]
    device: str
    memory: Ledger
    monitor: SlidingWindowMonitor
    start: Callable[[str], Awaitable[ServedModel]]


def capacity_bytes(limit_bytes: int | None, machine_bytes: int) -> int:
    """What the user allows; else 12 GB, or three quarters of what there is where that is less.

    Raises:
        ValidationError: that is more than there is.
    """
    if limit_bytes is None:
        return int(min(SEED_LIMIT_BYTES, SHARE_OF_MACHINE * machine_bytes))
    if limit_bytes > machine_bytes:
        raise ValidationError(
            "--memory-limit",
            f"{limit_bytes / GB:.1f} GB are more than the {machine_bytes / GB:.1f} GB that there are for models",
        )
    return limit_bytes


def _cache_options(settings: Settings, capacity_bytes: int) -> CacheOptions:
    """Half of the memory, and 10 GB of disk or a tenth of what is free, unless the user has it otherwise."""
    from pensieve.engine.prompt_cache.open import CacheOptions  # noqa: PLC0415
    from pensieve.models.files.home import home  # noqa: PLC0415

    folder = home()
    folder.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(folder).free
    disk_bytes = min(MAX_DISK_BYTES, free_bytes // 10) if settings.cache_disk is None else settings.cache_disk
    return CacheOptions(
        memory_bytes=capacity_bytes // 2 if settings.cache_memory is None else settings.cache_memory,
        disk_bytes=disk_bytes,
        home=folder if disk_bytes else None,
    )


def components_for(settings: Settings) -> ServerComponents:
    """A script alone needs no model; with one, the script's words are forced through it.

    Raises:
        PensieveError: what `scripted_components` and `model_components` raise.
    """
    if settings.script and not settings.model:
        own = _own_settings(settings, _given_settings(settings), (SCRIPTED_INFO.id,))
        return scripted_components(settings.script, settings.memory_limit, own)
    return model_components(settings)


def scripted_components(
    path: Path, memory_limit: int | None = None, own: Mapping[str, ModelSettings] = MappingProxyType({})
) -> ServerComponents:
    """No model, no MLX. `own` are the settings of models by their names.

    Raises:
        ModelLoadingError: the script cannot be read.
        ValidationError: the limit is more than the machine has.
    """
    script = load_script(path)
    memory = Ledger(capacity_bytes(memory_limit, psutil.virtual_memory().total))
    monitor = SlidingWindowMonitor(memory.usage)
    settings = own.get(SCRIPTED_INFO.id, ModelSettings())

    async def start(source: str) -> ServedModel:  # noqa: ARG001 - there is one script
        return ScriptedEngine(script, memory, monitor, settings=settings)

    return ServerComponents(
        (KnownModel(str(path), SCRIPTED_INFO, settings=settings),), "a script, no model", memory, monitor, start
    )


def _given_settings(settings: Settings) -> Mapping[str, ModelSettings]:
    return read_model_settings(settings.model_settings) if settings.model_settings is not None else {}


def _own_settings(
    settings: Settings, given: Mapping[str, ModelSettings], *names: tuple[str, ...]
) -> Mapping[str, ModelSettings]:
    """What holds for each model, by its first name, where `given` is for it. `names` are those that each goes by.

    Raises:
        ValidationError: `given` are settings of a model that is not among them.
    """
    if settings.model_settings is not None:
        require_known_names(settings.model_settings, given, (name for each in names for name in each))
    found = {each[0]: next((given[name] for name in each if name in given), ModelSettings()) for each in names}
    return {name: own.over(settings.of_every_model) for name, own in found.items()}


def _known(
    folders: Mapping[str, ModelFolder], draft: ModelFolder | None, own: Mapping[str, ModelSettings], *, dense: bool
) -> tuple[KnownModel, ...]:
    """The first is loaded with its draft model, and weighs what both do."""
    known = tuple(known_model(source, folder, dense=dense, settings=own[source]) for source, folder in folders.items())
    if draft is None:
        return known
    both_bytes = known[0].weights_bytes + known_model(f"--draft-model {draft.id}", draft, dense=dense).weights_bytes
    return (replace(known[0], weights_bytes=both_bytes, draft_id=draft.id), *known[1:])


def model_components(settings: Settings) -> ServerComponents:
    """Models on MLX. A fast BLAS has to be in the process before MLX is, so what imports MLX is imported here.

    All of them are found, and fetched if need be, before the server starts: a request may load, but not download.

    Raises:
        DeviceError: the BLAS that was asked for cannot be loaded.
        ModelLoadingError: there is no such model, or the script cannot be read.
        ValidationError: the limit is more than there is, or the file of settings is wrong.
    """
    given = _given_settings(settings)  # a mistake in it is said before anything is downloaded
    from pensieve.device import blas  # noqa: PLC0415

    blas.preload()
    from pensieve.device.device import device_info  # noqa: PLC0415
    from pensieve.device.memory.device_memory import DeviceMemory  # noqa: PLC0415
    from pensieve.engine.engine import Engine  # noqa: PLC0415
    from pensieve.engine.options import EngineOptions  # noqa: PLC0415
    from pensieve.models.files.progress import ConsoleProgress  # noqa: PLC0415
    from pensieve.models.library.embedded import SMOLLM2  # noqa: PLC0415
    from pensieve.models.library.resolve import resolve  # noqa: PLC0415

    device = device_info()
    memory = DeviceMemory(capacity_bytes(settings.memory_limit, device.total_memory_bytes), counts_process=True)
    monitor = SlidingWindowMonitor(memory.usage)
    sources = tuple(dict.fromkeys((settings.model or SMOLLM2.name, *settings.allow_models)))
    # on the main thread: Ctrl-C ends a long download at once
    folders = {source: resolve(source, progress=ConsoleProgress()) for source in sources}
    draft = resolve(settings.draft_model, progress=ConsoleProgress()) if settings.draft_model else None
    own = _own_settings(settings, given, *((source, folder.id) for source, folder in folders.items()))
    script = load_script(settings.script) if settings.script else None
    cache, speculation = _cache_options(settings, memory.capacity_bytes), not settings.no_speculation
    options = EngineOptions(script=script, kv_bits=settings.kv_bits, cache=cache, speculation=speculation)

    async def start(source: str) -> ServedModel:
        drafting = draft if source == sources[0] else None  # it knows the tokens of that one alone
        chosen = replace(options, draft_model=drafting, settings=own[source])
        return await Engine.start(folders[source], memory, monitor, chosen)

    known = _known(folders, draft, own, dense=device.backend == "cpu")
    said = device.say() + (", forced to say a script" if script else "")
    return ServerComponents(known, said, memory, monitor, start)

"""The composition root of `pensieve serve`: builds the components of a server from its settings."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from contracts.values.measurements import DiskWrites
from contracts.values.vocabulary import BufferUsage
from pensieve.api.request_log.prompt_folder import PromptFolder
from pensieve.cli.settings.model_settings import read_model_settings, require_served
from pensieve.cli.settings.model_table import ModelTable, ModelTables
from pensieve.cli.sizes import Share, Size, bytes_of, format_gigabytes
from pensieve.core.errors import ValidationError
from pensieve.device.memory.ledger import Ledger, request_bytes
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.scripted.engine import SCRIPTED_INFO, ScriptedEngine
from pensieve.engine.scripted.script import ScriptedServer, load_script
from pensieve.models.estimate.known_model import KnownModel, known_model

if TYPE_CHECKING:
    from rich.console import Console

    from pensieve.cli.settings.settings import Settings
    from pensieve.engine.options import EngineOptions
    from pensieve.engine.prompt_cache.open import CacheOptions
    from pensieve.models.files.model_folder import ModelFolder
    from pensieve.serving.served_model import ServedModel

log = logging.getLogger(__name__)

GB: Final = 1000**3
DEFAULT_LIMIT_BYTES: Final = 12 * GB
SHARE_OF_MACHINE: Final = 0.75
"""The default limit where this is less than DEFAULT_LIMIT_BYTES."""
MAX_DISK_BYTES: Final = 10 * GB


@dataclass(frozen=True, slots=True)
class ServerComponents:
    """Everything that serving a model does differently from playing a script.

    `models` are those that clients may request; the first is loaded before the server is ready. `start` loads a model
    by its `source`. `device` describes the hardware in the startup line. `console` is the terminal that shows progress.
    """

    models: tuple[KnownModel, ...]
    device: str
    memory: Ledger
    monitor: SlidingWindowMonitor
    start: Callable[[str], Awaitable[ServedModel]]
    cache_writes: Callable[[], DiskWrites] = DiskWrites
    prompt_folder: PromptFolder | None = None
    waits: ScriptedServer = field(default_factory=ScriptedServer)
    """How long the server waits where a script says so."""
    console: Console | None = None


def components_for(settings: Settings) -> ServerComponents:
    """A script alone needs no model. With a model, the script is forced through it.

    Raises:
        PensieveError: as `scripted_components` and `model_components`, or prompts cannot be written where they should.
    """
    prompts = _prompt_folder(settings.log_prompts)
    if settings.script and not settings.model:
        by_model = _model_tables(settings, _all_tables(settings), {SCRIPTED_INFO.id: ()})
        components = scripted_components(settings.script, settings.memory_limit, by_model[SCRIPTED_INFO.id])
        return replace(components, prompt_folder=prompts)
    return replace(model_components(settings), prompt_folder=prompts)


def _prompt_folder(path: Path | None) -> PromptFolder | None:
    if path is None:
        return None
    folder = PromptFolder(path)
    log.warning("every prompt and answer is written to %s as it is; stop the server to end that", path)
    return folder


def scripted_components(
    path: Path,
    memory_limit: Size | None = None,
    table: ModelTable = ModelTable(),  # noqa: B008 - frozen
) -> ServerComponents:
    """Components that play a script, without MLX.

    Raises:
        ModelLoadingError: the script cannot be read.
        ValidationError: the limit exceeds the machine's memory.
    """
    script = load_script(path)
    memory = Ledger(capacity_bytes(memory_limit, psutil.virtual_memory().total))
    monitor = SlidingWindowMonitor(memory.usage)

    async def start(source: str) -> ServedModel:  # noqa: ARG001 - there is only one script
        return ScriptedEngine(script, memory, monitor, settings=table.settings)

    model = KnownModel(
        str(path), SCRIPTED_INFO, settings=table.settings, alias=table.alias, idle_seconds=table.idle_seconds
    )
    return ServerComponents((model,), "a script, no model", memory, monitor, start, waits=script.server)


def model_components(settings: Settings) -> ServerComponents:
    """Components that run models on MLX. MLX is imported here, after the BLAS that it has to use on a CPU.

    All models are downloaded before the server starts, so that a request may load one but never waits for a download.

    Raises:
        DeviceError: MLX is not installed, or the requested BLAS cannot be loaded.
        ModelLoadingError: a model does not exist, or the script cannot be read.
        ValidationError: the limit exceeds the machine's memory, or the file of model settings is wrong.
    """
    tables = _all_tables(settings)  # a mistake in them is reported before anything is downloaded
    from pensieve.device import blas, malloc  # noqa: PLC0415

    blas.preload()
    malloc.limit_retained_memory()
    from pensieve.device.device import device_info  # noqa: PLC0415

    device = device_info()  # before what imports MLX without saying how to install it
    from pensieve.device.memory.device_memory import DeviceMemory  # noqa: PLC0415
    from pensieve.engine.engine import Engine  # noqa: PLC0415

    memory = DeviceMemory(capacity_bytes(settings.memory_limit, device.total_memory_bytes), counts_process=True)
    memory.reserve_on_host(request_bytes(memory.capacity_bytes), BufferUsage.TEMPORARY)
    monitor = SlidingWindowMonitor(memory.usage)
    options = _engine_options(settings, memory.capacity_bytes)  # a home that cannot be written ends the start at once
    folders = _resolve_models(settings, tables)
    by_model = _model_tables(settings, tables, {source: (folder.id,) for source, folder in folders.items()})
    drafts = _resolve_drafts(settings, by_model)

    async def start(source: str) -> ServedModel:
        chosen = replace(options, draft_model=drafts.get(source), settings=by_model[source].settings)
        return await Engine.start(folders[source], memory, monitor, chosen)

    models = _known_models(folders, drafts, by_model, options, dense=device.backend == "cpu")
    description = device.describe() + (", forced to follow a script" if options.script else "")
    writes = options.cache.writes.usage if options.cache.writes is not None else DiskWrites
    waits = options.script.server if options.script else ScriptedServer()
    return ServerComponents(models, description, memory, monitor, start, writes, waits=waits)


def capacity_bytes(limit: Size | None, machine_bytes: int) -> int:
    """The given limit, else 12 GB or three quarters of the machine's memory, whichever is less.

    Raises:
        ValidationError: the limit exceeds the machine's memory.
    """
    if limit is None:
        return int(min(DEFAULT_LIMIT_BYTES, SHARE_OF_MACHINE * machine_bytes))
    limit_bytes = bytes_of(limit, machine_bytes)
    if limit_bytes > machine_bytes:
        raise ValidationError(
            "--memory-limit",
            f"{format_gigabytes(limit_bytes)} is more than the {format_gigabytes(machine_bytes)} that this machine has "
            "for models",
        )
    return limit_bytes


def _resolve_models(settings: Settings, tables: ModelTables) -> Mapping[str, ModelFolder]:
    """The folders of all models by source, the main one first.

    It runs on the main thread, so that Ctrl-C ends a long download at once.
    """
    from pensieve.models.files.progress import ConsoleProgress  # noqa: PLC0415
    from pensieve.models.library.embedded import SMOLLM2  # noqa: PLC0415
    from pensieve.models.library.resolve import resolve  # noqa: PLC0415

    names = dict.fromkeys(map(tables.source, (settings.model or SMOLLM2.name, *settings.allow_models)))
    return {source: resolve(source, progress=ConsoleProgress()) for source in names}


def _resolve_drafts(settings: Settings, by_model: Mapping[str, ModelTable]) -> Mapping[str, ModelFolder]:
    """The draft model of each source that has one."""
    from pensieve.models.files.progress import ConsoleProgress  # noqa: PLC0415
    from pensieve.models.library.resolve import resolve  # noqa: PLC0415

    if settings.no_speculation:
        return {}
    names = {source: table.draft_model for source, table in by_model.items()}
    return {source: resolve(name, progress=ConsoleProgress()) for source, name in names.items() if name is not None}


def _engine_options(settings: Settings, capacity_bytes: int) -> EngineOptions:
    """The options that every model shares."""
    from pensieve.engine.options import EngineOptions  # noqa: PLC0415

    return EngineOptions(
        max_batch_size=settings.max_batch_size,
        max_queued=settings.max_queued,
        script=load_script(settings.script) if settings.script else None,
        kv_bits=settings.kv_bits,
        speculation=not settings.no_speculation,
        mtp=not settings.no_mtp,
        stall_seconds=settings.stall_timeout,
        cache=_cache_options(settings, capacity_bytes),
    )


def _cache_options(settings: Settings, capacity_bytes: int) -> CacheOptions:
    """By default half of the memory, and 10 GB of disk or a tenth of what is free there."""
    from pensieve.engine.prompt_cache.disk.folder import KV_FOLDER  # noqa: PLC0415
    from pensieve.engine.prompt_cache.disk.write_budget import WriteBudget  # noqa: PLC0415
    from pensieve.engine.prompt_cache.open import CacheOptions  # noqa: PLC0415
    from pensieve.models.files.home import writable_home  # noqa: PLC0415

    folder = writable_home() if settings.cache_disk != 0 else None
    disk_bytes = _disk_bytes(settings.cache_disk, folder) if folder is not None else 0
    return CacheOptions(
        memory_bytes=capacity_bytes // 2
        if settings.cache_memory is None
        else bytes_of(settings.cache_memory, capacity_bytes),
        disk_bytes=disk_bytes,
        home=folder if disk_bytes else None,
        writes=WriteBudget(folder / KV_FOLDER, settings.cache_writes) if folder is not None else None,
    )


def _disk_bytes(size: Size | None, folder: Path) -> int:
    """A share is one of the free space."""
    if size is not None and not isinstance(size, Share):
        return size
    free_bytes = shutil.disk_usage(folder).free
    return min(MAX_DISK_BYTES, free_bytes // 10) if size is None else bytes_of(size, free_bytes)


def _all_tables(settings: Settings) -> ModelTables:
    """
    Raises:
        ValidationError: the file of `--model-settings` is wrong.
    """
    path = settings.model_settings
    return settings.models if path is None else replace(settings.models, of_model_settings=read_model_settings(path))


def _model_tables(
    settings: Settings, tables: ModelTables, models: Mapping[str, tuple[str, ...]]
) -> Mapping[str, ModelTable]:
    """The settings of each model by its source. `models` maps each source to the model's other names, the main model
    first.

    Raises:
        ValidationError: the file of `--model-settings` has a table for a model that is not served.
    """
    names = {source: (source, *others) for source, others in models.items()}
    if settings.model_settings is not None:
        served = (name for each in names.values() for name in each)
        require_served(settings.model_settings, tables.of_model_settings, served)
    main_source = next(iter(names))
    return {source: tables.of(each, is_main=source == main_source) for source, each in names.items()}


def _known_models(
    folders: Mapping[str, ModelFolder],
    drafts: Mapping[str, ModelFolder],
    by_model: Mapping[str, ModelTable],
    options: EngineOptions,
    *,
    dense: bool,
) -> tuple[KnownModel, ...]:
    return tuple(
        _known_model(source, folder, by_model[source], replace(options, draft_model=drafts.get(source)), dense=dense)
        for source, folder in folders.items()
    )


def _known_model(
    source: str, folder: ModelFolder, table: ModelTable, options: EngineOptions, *, dense: bool
) -> KnownModel:
    """A model is loaded together with its draft model, so its bytes count both."""
    draft = options.draft_model
    model = replace(
        known_model(source, folder, dense=dense, settings=table.settings, with_mtp=options.wants_mtp),
        alias=table.alias,
        idle_seconds=table.idle_seconds,
    )
    window_tokens, chosen_tokens = model.info.context_window_tokens, table.settings.context_tokens
    if chosen_tokens is not None and chosen_tokens > window_tokens:
        log.warning("%s has a window of %d tokens, not the %d of --context", folder.id, window_tokens, chosen_tokens)
    if draft is None:
        lookup_only = options.speculation and model.speculation == "off"
        return replace(model, speculation="prompt_lookup") if lookup_only else model
    draft_bytes = known_model(f"--draft-model {draft.id}", draft, dense=dense).weights_bytes
    return replace(model, weights_bytes=model.weights_bytes + draft_bytes, draft_id=draft.id, speculation="draft_model")

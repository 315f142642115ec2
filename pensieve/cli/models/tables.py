"""What `pensieve models` says of models: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import psutil

from contracts.values.vocabulary import Sampling
from pensieve.cli.fit.command import fit_lines
from pensieve.core.defaults.sampling import in_words
from pensieve.core.errors import ModelLoadingError, PensieveError
from pensieve.models.estimate.describe import (
    architecture,
    call_form,
    chat_template,
    config_of,
    licence,
    quantisation,
    tokenizer_kind,
)
from pensieve.models.files.adapter_folder import adapter_kind
from pensieve.models.files.progress import SilentProgress
from pensieve.models.library.aliases import ListedModel, class_of, listed_models
from pensieve.models.library.inventory import LocalModel
from pensieve.models.library.resolve import resolve
from pensieve.models.library.source import Folder, GgufFile, parse_source
from pensieve.models.loading.generation_config import read_generation_config

_EMBEDDED_LICENCE: Final = "apache-2.0"
_WHOSE_FIGURES: Final = (
    "LIMIT is the --memory-limit to serve with, where the default of 12 GB leaves no room. Sizes are those of the "
    "files as others record them, and what a model takes is what the server named with it reports; none is measured "
    "here."
)


def size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes < 10**9 else f"{num_bytes / 1e9:.2f} GB"


def here(models: Sequence[LocalModel]) -> str:
    """A line for each model."""
    if not models:
        return (
            "No models are here yet. `pensieve serve` fetches the embedded one; `pensieve models list --available` "
            "shows what suits this machine, and `pensieve models pull NAME` fetches it."
        )
    rows = [("NAME", "SIZE", "WEIGHTS", "FROM", "REVISION")]
    for model in models:
        name = f"{model.name} ({', '.join(model.aliases)})" if model.aliases else model.name
        rows.append((name, size(model.num_bytes), _weights(model), _origin(model), (model.revision or "-")[:12]))
    return "\n".join(_aligned(rows))


def here_as_json(models: Iterable[LocalModel]) -> str:
    return json.dumps([_as_json(model) for model in models], indent=1, ensure_ascii=False)


def available(models: Iterable[LocalModel]) -> str:
    """The catalogue, with the class of this machine and what is here marked."""
    own_class = class_of(psutil.virtual_memory().total)
    here_now = {alias for model in models for alias in model.aliases}
    rows = [("", "ALIAS", "MAC", "WEIGHTS", "LIMIT", "LICENCE", "MODEL", "WHY")]
    for listed in listed_models():
        mark = "->" if listed.machine_gb == own_class else ""
        machine, weights = f"{listed.machine_gb} GB", f"{listed.weights_bytes / 1e9:.1f} GB"
        told = (listed.memory_limit or "-", listed.licence or "-", listed.name, _why(listed, here_now))
        rows.append((mark, listed.alias, machine, weights, *told))
    marked = f"-> suits this machine, which has {psutil.virtual_memory().total / 1024**3:.0f} GB. "
    return "\n".join([*_aligned(rows), "", marked + _WHOSE_FIGURES])


def _why(listed: ListedModel, here_now: Collection[str]) -> str:
    memory = f"; takes {listed.memory}" if listed.memory else ""
    return f"{listed.why}{memory}{' (here)' if listed.alias in here_now else ''}"


def available_as_json(models: Iterable[LocalModel]) -> str:
    own_class = class_of(psutil.virtual_memory().total)
    here_now = {alias for model in models for alias in model.aliases}
    entries = [
        {
            "alias": listed.alias,
            "name": listed.name,
            "revision": listed.revision,
            "machine_gb": listed.machine_gb,
            "weights_bytes": listed.weights_bytes,
            "memory": listed.memory,
            "memory_limit": listed.memory_limit,
            "licence": listed.licence,
            "why": listed.why,
            "suits_this_machine": listed.machine_gb == own_class,
            "is_here": listed.alias in here_now,
        }
        for listed in listed_models()
    ]
    return json.dumps(entries, indent=1, ensure_ascii=False)


def one(model: LocalModel) -> Iterator[str]:
    """All that is known of a model, a fact a line, and whether it fits this machine."""
    yield model.name
    facts = list(_facts(model))
    width = max(len(key) for key, _ in facts)
    yield from (f"  {key:<{width}}  {value}" for key, value in facts)
    yield ""
    try:
        yield from fit_lines(model.name)
    except PensieveError as error:
        yield f"Whether it fits cannot be told: {error}"


def _facts(model: LocalModel) -> Iterator[tuple[str, str]]:
    yield "path", str(model.path)
    yield "from", _origin(model)
    if model.revision:
        yield "revision", model.revision
    if model.aliases:
        yield "aliases", ", ".join(model.aliases)
    yield "size on disk", size(model.num_bytes)
    if model.base is not None:
        yield "adapter", f"{adapter_kind(model.path)} on {model.base}"
    if model.kind == "hub gguf":
        yield "form", "GGUF; it is converted when it is first served"
        return
    folder = model.path if model.base is None else _base_folder(model)
    if folder is None:
        yield "base", "not on this machine; it is fetched when the model is served"
        return
    yield from _folder_facts(folder)
    known = _EMBEDDED_LICENCE if model.kind == "embedded" else licence(folder)
    yield "licence", known or "unknown: no model card says it"


def _folder_facts(folder: Path) -> Iterator[tuple[str, str]]:
    config, template = config_of(folder), chat_template(folder)
    yield "architecture", architecture(config)
    yield "weights", quantisation(config)
    yield "tokenizer", tokenizer_kind(folder)
    yield "chat template", f"{len(template)} characters" if template else "none: conversations are told in paragraphs"
    yield "tool calls", call_form(template) or "in the general form: the template names none"
    yield "sampling", _recommended(folder)


def _recommended(folder: Path) -> str:
    """What holds where neither a request nor a flag says otherwise."""
    found = read_generation_config(folder)
    whose = "" if found.sampling != Sampling() else " (the API's: no generation_config.json says otherwise)"
    return f"{in_words(found.sampling)}{whose}" + (f"; {found.problem}" if found.problem else "")


def _base_folder(model: LocalModel) -> Path | None:
    """Where an adapter's base is; fetching nothing."""
    from pensieve.models.library.inventory import find_local  # noqa: PLC0415 - only for adapters

    base = model.base or ""
    try:
        is_path = isinstance(parse_source(base), (Folder, GgufFile))
    except ModelLoadingError:  # it has been moved or removed since
        return None
    if is_path:
        return resolve(base, progress=SilentProgress()).path
    found = find_local(base)
    return found.path if found is not None and found.path.is_dir() else None


def _weights(model: LocalModel) -> str:
    if model.base is not None:
        return f"{adapter_kind(model.path)} on {model.base}"
    return "GGUF" if model.kind == "hub gguf" else quantisation(config_of(model.path))


def _origin(model: LocalModel) -> str:
    said = {"embedded": "embedded", "hub": "hub", "hub gguf": "hub", "conversion": "converted from a GGUF file"}
    return said.get(model.kind) or f"{model.kind} {model.origin}"


def _as_json(model: LocalModel) -> dict[str, object]:
    config = config_of(model.path) if model.path.is_dir() else {}
    return {
        "name": model.name,
        "kind": model.kind,
        "path": str(model.path),
        "size_bytes": model.num_bytes,
        "architecture": config.get("model_type"),
        "quantisation": _weights(model),
        "origin": model.origin,
        "revision": model.revision,
        "base": model.base,
        "aliases": list(model.aliases),
    }


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

"""The output of `pensieve models`: tables for people, JSON for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import psutil

from contracts.values.vocabulary import Sampling
from pensieve.cli.fit.figures import FitOptions, estimate_fit
from pensieve.cli.fit.report import report_lines
from pensieve.cli.sizes import format_gigabytes, format_size
from pensieve.cli.tables import table, terminal_width
from pensieve.core.defaults.sampling import describe_sampling
from pensieve.core.errors import ModelLoadingError, PensieveError
from pensieve.models.estimate.describe import (
    architecture,
    chat_template,
    config_of,
    licence,
    quantisation,
    tokenizer_kind,
    tool_parser,
)
from pensieve.models.files.adapter_folder import adapter_kind
from pensieve.models.files.progress import SilentProgress
from pensieve.models.library.aliases import CuratedModel, curated_models, machine_class_gb
from pensieve.models.library.inventory import LocalModel
from pensieve.models.library.resolve import resolve
from pensieve.models.library.source import FolderSource, GgufSource, parse_source
from pensieve.models.library.user_path import is_folder
from pensieve.models.loading.generation_config import read_generation_config

_EMBEDDED_LICENCE: Final = "apache-2.0"
_SOURCE_OF_FIGURES: Final = (
    "LIMIT is the --memory-limit that the model needs when the default of 12 GB is too small. Sizes are the published "
    "sizes of the files. Memory figures are those reported by the server named beside them. Nothing was measured on "
    "this machine."
)


def local_table(models: Sequence[LocalModel]) -> str:
    if not models:
        return (
            "No models on this machine yet. `pensieve serve` downloads the embedded one. "
            "`pensieve models list --available` shows what suits this machine, and `pensieve models pull NAME` "
            "downloads it."
        )
    header, rows = ("NAME", "SIZE", "WEIGHTS", "FROM", "REVISION"), []
    for model in models:
        name = f"{model.name} ({', '.join(model.aliases)})" if model.aliases else model.name
        rows.append((name, format_size(model.num_bytes), _weights(model), _origin(model), (model.revision or "-")[:12]))
    return "\n".join(table(header, rows, right=("SIZE",), width=terminal_width()))


def local_json(models: Iterable[LocalModel]) -> str:
    return json.dumps([_as_json(model) for model in models], indent=1, ensure_ascii=False)


def available_table(models: Iterable[LocalModel]) -> str:
    """The curated models. Those for this machine and those already on it are marked."""
    own_class = machine_class_gb(psutil.virtual_memory().total)
    local_aliases = {alias for model in models for alias in model.aliases}
    header, rows, remarks = ("", "ALIAS", "MAC", "WEIGHTS", "LIMIT", "LICENCE"), [], []
    for curated in curated_models():
        mark = "->" if curated.machine_gb == own_class else ""
        machine, weights = f"{curated.machine_gb} GB", format_gigabytes(curated.weights_bytes)
        limit, licence_name = curated.memory_limit or "-", curated.licence or "-"
        rows.append((mark, curated.alias, machine, weights, limit, licence_name))
        remarks.append(f"{curated.name}: {_why(curated, local_aliases)}")
    first, *rest = list(table(header, rows, right=("MAC", "WEIGHTS", "LIMIT")))
    legend = f"-> suits this machine, which has {psutil.virtual_memory().total / 1024**3:.0f} GB. "
    return "\n".join(
        [
            first,
            *(line for row, remark in zip(rest, remarks, strict=True) for line in (row, *_indented(remark))),
            "",
            *_wrapped(legend + _SOURCE_OF_FIGURES),
        ]
    )


def _indented(text: str) -> list[str]:
    return [f"      {line}" for line in _wrapped(text, less=6)]


def _wrapped(text: str, less: int = 0) -> list[str]:
    """Lines as wide as the terminal, or one line for a program."""
    width = terminal_width()
    return [text] if width is None else textwrap.wrap(text, width - less, break_long_words=False)


def _why(curated: CuratedModel, local_aliases: Collection[str]) -> str:
    memory = f"; uses {curated.memory}" if curated.memory else ""
    return f"{curated.why}{memory}{' (on this machine)' if curated.alias in local_aliases else ''}"


def available_json(models: Iterable[LocalModel]) -> str:
    own_class = machine_class_gb(psutil.virtual_memory().total)
    local_aliases = {alias for model in models for alias in model.aliases}
    entries = [
        {
            "alias": curated.alias,
            "name": curated.name,
            "revision": curated.revision,
            "machine_gb": curated.machine_gb,
            "weights_bytes": curated.weights_bytes,
            "memory": curated.memory,
            "memory_limit": curated.memory_limit,
            "licence": curated.licence,
            "why": curated.why,
            "suits_this_machine": curated.machine_gb == own_class,
            "is_here": curated.alias in local_aliases,
        }
        for curated in curated_models()
    ]
    return json.dumps(entries, indent=1, ensure_ascii=False)


def details(model: LocalModel) -> Iterator[str]:
    """One line per fact, then whether the model fits this machine."""
    yield model.name
    facts = list(_facts(model))
    width = max(len(key) for key, _ in facts)
    yield from (f"  {key:<{width}}  {value}" for key, value in facts)
    yield ""
    try:
        yield from report_lines(estimate_fit(model.name, FitOptions()))
    except PensieveError as error:
        yield f"Whether it fits is unknown: {error}"


def _facts(model: LocalModel) -> Iterator[tuple[str, str]]:
    yield "path", str(model.path)
    yield "from", _origin(model)
    if model.revision:
        yield "revision", model.revision
    if model.aliases:
        yield "aliases", ", ".join(model.aliases)
    yield "size on disk", format_size(model.num_bytes)
    if model.base is not None:
        yield "adapter", f"{adapter_kind(model.path)} on {model.base}"
    if model.kind == "hub gguf":
        yield "form", "GGUF, converted when it is first served"
        return
    folder = model.path if model.base is None else _base_folder(model)
    if folder is None:
        yield "base", "not on this machine, downloaded when the model is served"
        return
    yield from _folder_facts(folder)
    licence_name = _EMBEDDED_LICENCE if model.kind == "embedded" else licence(folder)
    yield "licence", licence_name or "unknown: the model card does not name one"


def _folder_facts(folder: Path) -> Iterator[tuple[str, str]]:
    config, template = config_of(folder), chat_template(folder)
    yield "architecture", architecture(config)
    yield "weights", quantisation(config)
    yield "tokenizer", tokenizer_kind(folder)
    yield (
        "chat template",
        f"{len(template)} characters" if template else "none: conversations are written as paragraphs",
    )
    yield "tool calls", tool_parser(template) or "in the Hermes form: the template has none of its own"
    yield "sampling", _recommended(folder)


def _recommended(folder: Path) -> str:
    """The sampling parameters of requests that set none."""
    config = read_generation_config(folder)
    source = "generation_config.json" if config.sampling != Sampling() else "the API's default"
    return f"{describe_sampling(config.sampling)} ({source})" + (f"; {config.problem}" if config.problem else "")


def _base_folder(model: LocalModel) -> Path | None:
    """The folder of an adapter's base model; None if it is not on this machine."""
    from pensieve.models.library.inventory import find_local  # noqa: PLC0415 - only for adapters

    base = model.base or ""
    try:
        is_path = isinstance(parse_source(base), (FolderSource, GgufSource))
    except ModelLoadingError:  # it has been moved or removed since
        return None
    if is_path:
        return resolve(base, progress=SilentProgress()).path
    local = find_local(base)
    return local.path if local is not None and is_folder(local.path) else None


def _weights(model: LocalModel) -> str:
    if model.base is not None:
        return f"{adapter_kind(model.path)} on {model.base}"
    return "GGUF" if model.kind == "hub gguf" else quantisation(config_of(model.path))


def _origin(model: LocalModel) -> str:
    origins = {"embedded": "embedded", "hub": "hub", "hub gguf": "hub", "conversion": "converted from a GGUF file"}
    return origins.get(model.kind) or f"{model.kind} {model.origin}"


def _as_json(model: LocalModel) -> dict[str, object]:
    config = config_of(model.path) if is_folder(model.path) else {}
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

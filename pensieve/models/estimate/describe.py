"""Facts about a model for people who choose one, from its files alone and without MLX (U3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.json_file import read_json
from pensieve.models.loading.config import read_config

_LICENCE: Final = re.compile(r"^license(?:_name)?:[ \t]*['\"]?([^'\"\n]+)", re.MULTILINE)
_TOKENIZERS: Final = {
    "tokenizer.json": "tokenizer.json",
    "tokenizer.model": "SentencePiece (tokenizer.model)",
    "tiktoken.model": "tiktoken (tiktoken.model)",
    "vocab.json": "BPE (vocab.json)",
}
_TOOL_PARSERS: Final[tuple[tuple[str, Callable[[str], bool]], ...]] = (
    ("minimax_m2", lambda text: "<minimax:tool_call>" in text),
    ("gemma4", lambda text: "<|tool_call>" in text and "<tool_call|>" in text),
    ("function_gemma", lambda text: "<start_function_call>" in text),
    ("longcat", lambda text: "<longcat_tool_call>" in text),
    ("glm47", lambda text: "<arg_key>" in text),
    ("pythonic", lambda text: "<|tool_list_start|>" in text or "<|tool_call_start|>" in text),
    ("qwen3_coder", lambda text: bool(re.search(r"<tool_call>(?:\\n|\n)<function=", text))),
    ("kimi_k2", lambda text: "<|tool_calls_section_begin|>" in text),
    ("minicpm5", lambda text: '<function name="' in text and '<param name="' in text),
    ("mistral", lambda text: "[TOOL_CALLS]" in text),
    ("muse_spark", lambda text: "<atem:function_calls>" in text),
    ("json_tools", lambda text: "<tool_call>" in text and "tool_call.name" in text),
)
"""The parser that mlx-lm chooses for a template: the first match. A test compares them with its own choice."""


def config_of(folder: Path) -> Mapping[str, Any]:
    """The normalised config.json; empty if it cannot be read."""
    try:
        return read_config(str(folder), folder)
    except ModelLoadingError:
        return {}


def quantisation(config: Mapping[str, Any]) -> str:
    """For example `4 bits, groups of 64`, `4 and 6 bits`, `bfloat16` or `unknown`."""
    packed = config.get("quantization") or {}
    if isinstance(packed, Mapping) and "bits" in packed:
        parts = [part for part in packed.values() if isinstance(part, Mapping) and "bits" in part]
        bits = sorted({packed["bits"], *(part["bits"] for part in parts)})
        mode = packed.get("mode", "affine")
        named = "" if mode == "affine" else f" ({mode})"
        if len(bits) > 1:
            return f"{', '.join(map(str, bits[:-1]))} and {bits[-1]} bits{named}"
        return f"{bits[0]} bits, groups of {packed.get('group_size', 64)}{named}"
    method = (config.get("quantization_config") or {}).get("quant_method")
    text = config.get("text_config") or {}
    dtype = config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or text.get("torch_dtype")
    return str(method or dtype or "unknown")


def architecture(config: Mapping[str, Any]) -> str:
    """mlx-lm's name for it, and the number and width of its layers."""
    text = {**config, **(config.get("text_config") or {})}
    layers, width = text.get("num_hidden_layers"), text.get("hidden_size")
    size = f", {layers} layers of width {width}" if layers and width else ""
    return f"{config.get('model_type', 'unknown')}{size}"


def licence(folder: Path) -> str | None:
    """The licence that the model card states."""
    try:
        card = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    head = card.split("---", 2)[1] if card.startswith("---") and card.count("---") > 1 else ""
    found = [name.strip() for name in _LICENCE.findall(head)]
    return next((name for name in found if name != "other"), found[0] if found else None)


def tokenizer_kind(folder: Path) -> str:
    return next((kind for name, kind in _TOKENIZERS.items() if (folder / name).exists()), "none")


def chat_template(folder: Path) -> str | None:
    """The text of the chat template; if there are several named ones, all of them joined."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8", errors="replace")
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = _json_object(folder / name).get("chat_template")
        if isinstance(found, str):
            return found
        if isinstance(found, list):
            return "\n".join(str(entry.get("template", "")) for entry in found if isinstance(entry, Mapping))
    return None


def tool_parser(template: str | None) -> str | None:
    """The name of mlx-lm's parser for the model's tool calls, recognised by the template; None if unknown."""
    return next((name for name, fits in _TOOL_PARSERS if fits(template)), None) if template else None


def _json_object(path: Path) -> Mapping[str, Any]:
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}

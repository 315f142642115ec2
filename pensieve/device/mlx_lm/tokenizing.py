"""Tokenizers and chat templates that need mlx-lm or Transformers. Importing this imports mlx-lm, in half a second."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.device.mlx_lm.deferred_transformers import load_transformers

import_mlx_lm()


def load_with_transformers(folder: Path) -> Any:
    """The tokenizer of a folder, with the classes that mlx-lm adds to those of Transformers.

    Raises:
        Exception: of any type, since Transformers and tokenizers raise various ones for invalid files.
    """
    load_transformers()
    from transformers import AutoTokenizer  # noqa: PLC0415 - seconds

    return AutoTokenizer.from_pretrained(folder)


def renders_by_itself(tokenizer: Any) -> bool:
    """Whether a class of Transformers writes prompts in Python, without a template, as that for mistral-common does."""
    from transformers import PreTrainedTokenizerBase  # noqa: PLC0415 - already imported by now

    return type(tokenizer).apply_chat_template is not PreTrainedTokenizerBase.apply_chat_template


def python_template(name: str) -> Callable[..., str] | None:
    """The chat template that mlx-lm has in Python under this name, such as "deepseek_v32".

    Raises:
        ImportError: mlx-lm has nothing of this name.
    """
    module = importlib.import_module(f"mlx_lm.chat_templates.{name}")
    template: Callable[..., str] | None = getattr(module, "apply_chat_template", None)
    return template

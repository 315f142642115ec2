"""Defers the import of Transformers and huggingface_hub until mlx-lm needs them.

mlx-lm imports both at module level, which took two of a server's three to four seconds to start and a hundred
megabytes. At import it needs only three class names of Transformers, for annotations and one base class, and one
download function of huggingface_hub. So stand-ins with these names are in `sys.modules` while mlx-lm is imported. A
tokenizer that needs Transformers loads the real ones through `AutoTokenizer`, mlx-lm's only way to them.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

_TOKENIZERS: Final = "mlx_lm.tokenizer_utils"
_lock = threading.RLock()


class _Tokenizer:
    """Stands in for Transformers' tokenizer classes in annotations and as a base class."""

    def apply_chat_template(self) -> None:
        """mlx-lm compares methods with this one and never calls it."""


class _AutoTokenizer:
    """Stands in for Transformers' AutoTokenizer until its first call."""

    @staticmethod
    def register(*_: Any, **__: Any) -> None:
        """Does nothing: registrations are repeated when the real class is loaded."""

    @staticmethod
    def from_pretrained(*arguments: Any, **settings: Any) -> Any:
        load_transformers()
        return sys.modules[_TOKENIZERS].AutoTokenizer.from_pretrained(*arguments, **settings)


def _snapshot_download(*arguments: Any, **settings: Any) -> Any:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - half a second

    return snapshot_download(*arguments, **settings)


@contextmanager
def transformers_deferred() -> Iterator[None]:
    """Put stand-ins into `sys.modules` within the block, except for modules that are already imported."""
    absent = [module for module in _stand_ins() if module.__name__.partition(".")[0] not in sys.modules]
    for module in absent:
        sys.modules[module.__name__] = module
    try:
        yield
    finally:
        for module in absent:
            del sys.modules[module.__name__]


def load_transformers() -> None:
    """Give mlx-lm's tokenizer module the real Transformers if it has the stand-in. Takes seconds.

    The module is reloaded, but keeps its TokenizerWrapper class, which other modules of mlx-lm have imported.
    """
    with _lock:
        module = sys.modules[_TOKENIZERS]
        if module.AutoTokenizer is not _AutoTokenizer:
            return
        wrapper = vars(module)["TokenizerWrapper"]
        importlib.reload(module)
        vars(module)["TokenizerWrapper"] = wrapper


def _stand_ins() -> tuple[ModuleType, ...]:
    transformers = ModuleType("transformers")
    transformers.AutoTokenizer = _AutoTokenizer  # type: ignore[attr-defined]
    transformers.PreTrainedTokenizer = _Tokenizer  # type: ignore[attr-defined]
    transformers.PreTrainedTokenizerFast = _Tokenizer  # type: ignore[attr-defined]
    base = ModuleType("transformers.tokenization_utils_base")
    base.PreTrainedTokenizerBase = _Tokenizer  # type: ignore[attr-defined]
    hub = ModuleType("huggingface_hub")
    hub.snapshot_download = _snapshot_download  # type: ignore[attr-defined]
    return transformers, base, hub

"""Transformers and the hub's client, kept out of the import of mlx-lm until something is needed of them.

mlx-lm imports both at its head: two of the three to four seconds that a server took to start, and a hundred megabytes.
Of Transformers it wants the names of three classes there, to annotate with and to derive an oddity from; of the hub's
client one function, which is for downloads. So while mlx-lm is imported, and no longer, stand-ins of those names lie in
`sys.modules`. A folder whose tokenizer has to be Transformers' own brings the real ones in, through the one door that
mlx-lm has to them, `AutoTokenizer`.
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
    """Stands for Transformers' classes of tokenizers in annotations and among the bases of classes."""

    def apply_chat_template(self) -> None:
        """mlx-lm compares with it, and calls it never."""


class _AutoTokenizer:
    """Stands for Transformers' AutoTokenizer until it is called for the first time."""

    @staticmethod
    def register(*_: Any, **__: Any) -> None:
        """What registers itself here does so again when the real one is there."""

    @staticmethod
    def from_pretrained(*arguments: Any, **settings: Any) -> Any:
        load_transformers()
        return sys.modules[_TOKENIZERS].AutoTokenizer.from_pretrained(*arguments, **settings)


def _snapshot_download(*arguments: Any, **settings: Any) -> Any:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - takes half a second

    return snapshot_download(*arguments, **settings)


@contextmanager
def transformers_deferred() -> Iterator[None]:
    """Meanwhile, the names that mlx-lm imports at its head are stand-ins, unless the real ones are there already."""
    absent = [module for module in _stand_ins() if module.__name__.partition(".")[0] not in sys.modules]
    for module in absent:
        sys.modules[module.__name__] = module
    try:
        yield
    finally:
        for module in absent:
            del sys.modules[module.__name__]


def load_transformers() -> None:
    """Give mlx-lm's module of tokenizers the real Transformers, if it has a stand-in: takes seconds.

    The module's body runs again. Its class of wrappers stays the one that other modules of mlx-lm know already.
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

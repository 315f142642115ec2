"""A folder's tokenizer, in mlx-lm's wrapper: without Transformers where that is known to be the same.

It is known of folders that were made here, since their tokenizers were written for `tokenizers` itself. Of others, what
Transformers makes of the folder the first time is kept under PENSIEVE_HOME, and the next start goes on from that. What
cannot be kept so, since Transformers or the folder has code of its own for it, is loaded by Transformers every time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any, Final

from tokenizers import Tokenizer

from pensieve.models.files.atomic_file import atomic_file
from pensieve.models.files.atomic_folder import is_complete
from pensieve.models.files.home import home
from pensieve.models.tokenizers.chat_templates import as_tokenizers_have_it, read_chat_templates
from pensieve.models.tokenizers.fast_tokenizer import NAMED_TOKENS, UNBOUNDED, FastTokenizer, TokenizerFacts

_KEPT: Final = "tokenizers"
_FORMAT: Final = 2
_MAX_KEPT: Final = 32
_SUFFIXES: Final = frozenset({".json", ".jinja", ".model", ".tiktoken", ".txt", ".py"})
_SETTINGS: Final = ("chat_template_type", "tool_parser_type")
"""Keys of tokenizer_config.json that mlx-lm reads."""
_WRITTEN_HERE: Final = frozenset(
    {"tokenizer_class", "clean_up_tokenization_spaces", "model_max_length", "chat_template", *NAMED_TOKENS}
)
_METHODS: Final = (
    *("__call__", "encode", "_encode_plus", "decode", "_decode", "apply_chat_template", "get_chat_template"),
    *("convert_ids_to_tokens", "convert_tokens_to_ids", "get_vocab", "__len__", "backend_tokenizer"),
)
_SAMPLES: Final = ("", "Hello, world!\n\n  2 + 2 = 4", " naïve 猫 <|im_end|></s>")


def load_tokenizer(folder: Path, eos_token_ids: Any) -> Any:
    """mlx-lm's TokenizerWrapper around a DirectTokenizer, or around Transformers' own. Only after import_mlx_lm.

    Raises:
        Exception: of any type, as mlx-lm, Transformers and tokenizers raise them over files that are no tokenizer.
    """
    templates = as_tokenizers_have_it(read_chat_templates(folder))
    direct = _written_here(folder) or _kept(folder)
    if direct is not None:
        direct.chat_template = templates or direct.chat_template
        return _wrapped(direct, folder, eos_token_ids)
    from mlx_lm import utils  # noqa: PLC0415 - only after import_mlx_lm

    wrapper = utils.load_tokenizer(folder, eos_token_ids=eos_token_ids)
    if templates is not None:
        wrapper.chat_template = templates  # Transformers forgets one place for another, and knows none of processors
        wrapper.has_chat_template = True
    _keep(wrapper._tokenizer, folder)
    return wrapper


def _wrapped(direct: FastTokenizer, folder: Path, eos_token_ids: Any) -> Any:
    """By mlx-lm's own function, to which the one name that is Transformers' means this tokenizer."""
    from mlx_lm import tokenizer_utils, utils  # noqa: PLC0415 - only after import_mlx_lm

    class Direct:
        @staticmethod
        def from_pretrained(*_: Any) -> FastTokenizer:
            return direct

    load = FunctionType(
        tokenizer_utils.load.__code__,
        {**tokenizer_utils.load.__globals__, "AutoTokenizer": Direct},
        argdefs=tokenizer_utils.load.__defaults__,
    )
    wrapper = load(folder, eos_token_ids=eos_token_ids, defaults=utils._tokenizer_defaults(folder))
    wrapper.has_chat_template = direct.chat_template is not None or wrapper._chat_template is not None
    return wrapper


def _written_here(folder: Path) -> FastTokenizer | None:
    """None where the folder was not made here, or says more than is written here."""
    if not is_complete(folder):
        return None
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    if not settings.keys() <= _WRITTEN_HERE or settings.get("tokenizer_class") != "PreTrainedTokenizerFast":
        return None
    facts = TokenizerFacts(
        {name: settings[name] for name in NAMED_TOKENS if name in settings},
        None,
        settings.get("model_max_length", UNBOUNDED),
        {},
    )
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    added = {token.content for token in backend.get_added_tokens_decoder().values()}
    return FastTokenizer(backend, facts) if added.issuperset(facts.special_tokens.values()) else None


def _kept(folder: Path) -> FastTokenizer | None:
    """What Transformers made of the same files before, if that was kept."""
    try:
        kept = json.loads(_place(folder).read_text(encoding="utf-8"))
        return _made(kept, folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _made(kept: dict[str, Any], folder: Path) -> FastTokenizer:
    text = kept["backend"]
    backend = Tokenizer.from_str(text) if text else Tokenizer.from_file(str(folder / "tokenizer.json"))
    return FastTokenizer(backend, TokenizerFacts(**kept["facts"]))


def _keep(tokenizer: Any, folder: Path) -> None:
    """Keep what Transformers made, if that is all there is to it."""
    kept = _as_kept(tokenizer, folder)
    if kept is None or not _agree(_made(kept, folder), tokenizer):
        return
    with contextlib.suppress(OSError):  # costs time alone
        place = _place(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(place) as file:
            file.write(json.dumps(kept).encode())
        others = sorted(place.parent.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in others[_MAX_KEPT:]:
            old.unlink(missing_ok=True)


def _as_kept(tokenizer: Any, folder: Path) -> dict[str, Any] | None:
    """None where more than a `tokenizers.Tokenizer` and a template is at work."""
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - is there by now

    kind: Any = type(tokenizer)
    if not issubclass(kind, PreTrainedTokenizerFast):
        return None
    is_plain = all(
        getattr(kind, name) is getattr(PreTrainedTokenizerFast, name) for name in _METHODS if hasattr(kind, name)
    )
    backend = tokenizer.backend_tokenizer
    is_cleaned = tokenizer.clean_up_tokenization_spaces and type(backend.model).__name__ != "BPE"
    if not is_plain or is_cleaned or tokenizer.split_special_tokens:
        return None
    settings = {key: tokenizer.init_kwargs[key] for key in _SETTINGS if key in tokenizer.init_kwargs}
    facts = TokenizerFacts(tokenizer.special_tokens_map, tokenizer.chat_template, tokenizer.model_max_length, settings)
    try:
        text = _bare(Tokenizer.from_str(backend.to_str()))
        file = folder / "tokenizer.json"
        is_as_in_file = file.is_file() and _bare(Tokenizer.from_file(str(file))) == text
    except Exception:  # a part of it is Python's: what `tokenizers` raises is no more than that
        return None
    return {"facts": asdict(facts), "backend": None if is_as_in_file else text}


def _bare(backend: Tokenizer) -> str:
    backend.no_truncation()
    backend.no_padding()
    return str(backend.to_str())


def _agree(direct: FastTokenizer, original: Any) -> bool:
    """Whether the two are one in what can be asked quickly."""
    asked: Iterable[str] = [*_SAMPLES, *direct.special_tokens_map.values()]
    names = [*NAMED_TOKENS, *(f"{name}_id" for name in NAMED_TOKENS)]
    return (
        direct.get_vocab() == original.get_vocab()
        and all(getattr(direct, name) == getattr(original, name) for name in names)
        and all(direct.encode(text) == original.encode(text) for text in asked)
        and all(direct.decode(original.encode(text)) == original.decode(original.encode(text)) for text in asked)
    )


def _place(folder: Path) -> Path:
    """Named for what Transformers looks at, and for the versions of those who look.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256(" ".join([str(_FORMAT), *map(version, ("transformers", "tokenizers", "mlx-lm"))]).encode())
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES and path.is_file()):
        if path.name != "model.safetensors.index.json":
            digest.update(f"\0{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return home() / _KEPT / f"{digest.hexdigest()[:32]}.json"

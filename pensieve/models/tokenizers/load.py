"""Loads a folder's tokenizer, without Transformers if the result is the same.

Tokenizers that Pensieve itself wrote (converted and embedded models) never need Transformers. For other folders,
Transformers loads the tokenizer once, and the result is cached under PENSIEVE_HOME for later starts. Tokenizers that
need special code of Transformers or of the folder are loaded by Transformers every time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from inspect import getattr_static, getmembers_static
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import Any, Final

import pydantic
from tokenizers import Tokenizer

from pensieve.models.files.atomic_file import atomic_file
from pensieve.models.files.atomic_folder import is_complete
from pensieve.models.files.home import home
from pensieve.models.files.json_file import read_json
from pensieve.models.tokenizers.chat_templates import as_tokenizer_attribute, read_chat_templates
from pensieve.models.tokenizers.fast_tokenizer import NAMED_TOKENS, UNBOUNDED, FastTokenizer, TokenizerMetadata
from pensieve.models.tokenizers.model_tokenizer import ModelTokenizer

_CACHE_FOLDER: Final = "tokenizers"
_FORMAT: Final = 2
_MAX_ENTRIES: Final = 32
_SUFFIXES: Final = frozenset({".json", ".jinja", ".model", ".tiktoken", ".txt", ".py"})
_TEMPLATE_TYPE: Final = "chat_template_type"
"""The key of tokenizer_config.json that names one of mlx-lm's templates in Python."""
_METADATA: Final = pydantic.TypeAdapter(TokenizerMetadata)
_NO_DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType({})
_OWN_KEYS: Final = frozenset(
    {"tokenizer_class", "clean_up_tokenization_spaces", "model_max_length", "chat_template", *NAMED_TOKENS}
)
_METHODS: Final = frozenset(
    {"__call__", "encode", "decode", "apply_chat_template", "get_chat_template", "backend_tokenizer"}
    | {"convert_ids_to_tokens", "convert_tokens_to_ids", "get_vocab", "__len__"}
)
_MAX_TOKEN: Final = 256
"""Characters of an added token: every beginning and every end of it is kept, which texts are searched for. The longest
known have some 40.
"""
_MAX_TOKENS: Final = 2_000_000
"""Characters of all of them: a model with 65,536 tokens of sounds has 720,000."""
_SAMPLES: Final = ("", "Hello, world!\n\n  2 + 2 = 4", " naïve 猫 <|im_end|></s>")


def load_tokenizer(
    folder: Path, eos_token_ids: Any = None, defaults: Mapping[str, Any] = _NO_DEFAULTS
) -> ModelTokenizer:
    """The folder's tokenizer. `eos_token_ids` are those of its config: a number, several, or None.

    `defaults` are what the model's architecture says, for folders that do not say it.

    Raises:
        Exception: of any type, since mlx-lm, Transformers and tokenizers raise various ones for invalid files.
    """
    templates = as_tokenizer_attribute(read_chat_templates(folder))
    tokenizer = _from_own_folder(folder) or _from_cache(folder) or _by_transformers(folder)
    _require_short_tokens(getattr(tokenizer, "backend_tokenizer", None))
    if templates is not None:
        tokenizer.chat_template = templates  # Transformers reads only one of several files, and none of processors
    if eos_token_ids is None:
        eos_token_ids = defaults.get("eos_token_ids", ())
    return ModelTokenizer(
        tokenizer,
        [eos_token_ids] if isinstance(eos_token_ids, int) else eos_token_ids,
        _python_template(tokenizer, defaults),
    )


def _require_short_tokens(backend: Any) -> None:
    """
    Raises:
        ValueError: an added token is too long, or there are too many.
    """
    if not hasattr(backend, "get_added_tokens_decoder"):
        return
    lengths = [len(token.content) for token in backend.get_added_tokens_decoder().values()]
    if max(lengths, default=0) > _MAX_TOKEN:
        raise ValueError(f"an added token has {max(lengths)} characters; at most {_MAX_TOKEN} are supported")
    if sum(lengths) > _MAX_TOKENS:
        raise ValueError(
            f"the added tokens have {sum(lengths)} characters together; at most {_MAX_TOKENS} are supported"
        )


def _by_transformers(folder: Path) -> Any:
    from pensieve.device.mlx_lm.tokenizing import load_with_transformers  # noqa: PLC0415 - seconds

    tokenizer = load_with_transformers(folder)
    _save(tokenizer, folder)
    return tokenizer


def _python_template(tokenizer: Any, defaults: Mapping[str, Any]) -> Callable[..., str] | None:
    """What writes prompts in Python. A template in the folder comes before one that an architecture has by default."""
    stated = tokenizer.init_kwargs.get(_TEMPLATE_TYPE)
    name = stated if stated or tokenizer.chat_template is not None else defaults.get(_TEMPLATE_TYPE)
    if not name and isinstance(tokenizer, FastTokenizer):
        return None
    from pensieve.device.mlx_lm.tokenizing import python_template, renders_by_itself  # noqa: PLC0415 - half a second

    if name:
        return python_template(name)
    renders = renders_by_itself(tokenizer)
    return partial(tokenizer.apply_chat_template, tokenize=False, return_dict=False) if renders else None


def _from_own_folder(folder: Path) -> FastTokenizer | None:
    """None if Pensieve did not write the folder, or its tokenizer_config.json has other keys than Pensieve writes."""
    if not is_complete(folder):
        return None
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    if not settings.keys() <= _OWN_KEYS or settings.get("tokenizer_class") != "PreTrainedTokenizerFast":
        return None
    metadata = TokenizerMetadata(
        {name: settings[name] for name in NAMED_TOKENS if name in settings},
        None,
        settings.get("model_max_length", UNBOUNDED),
        {},
    )
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    added = {token.content for token in backend.get_added_tokens_decoder().values()}
    return FastTokenizer(backend, metadata) if added.issuperset(metadata.special_tokens.values()) else None


def _from_cache(folder: Path) -> FastTokenizer | None:
    """The tokenizer that Transformers loaded from the same files before, or None if it is not cached."""
    try:
        return _from_entry(read_json(_cache_path(folder)), folder)
    except Exception:  # damaged, or of another version: `tokenizers` raises a bare Exception
        return None


def _from_entry(entry: dict[str, Any], folder: Path) -> FastTokenizer:
    text = entry["backend"]
    backend = Tokenizer.from_str(text) if text else Tokenizer.from_file(str(folder / "tokenizer.json"))
    return FastTokenizer(backend, _METADATA.validate_python(entry["facts"]))


def _save(tokenizer: Any, folder: Path) -> None:
    """Cache a tokenizer that Transformers loaded, if a FastTokenizer behaves the same."""
    entry = _cache_entry(tokenizer, folder)
    if entry is None or not _behave_alike(_from_entry(entry, folder), tokenizer):
        return
    with contextlib.suppress(OSError):  # without an entry, the next start is only slower
        path = _cache_path(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(json.dumps(entry).encode())
        entries = sorted(path.parent.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in entries[_MAX_ENTRIES:]:
            old.unlink(missing_ok=True)


def _cache_entry(tokenizer: Any, folder: Path) -> dict[str, Any] | None:
    """None if the tokenizer is more than a `tokenizers.Tokenizer` and a template."""
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - already imported by now

    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        return None
    is_plain = not any(map(_decides_what_is_encoded, _overridden(type(tokenizer), PreTrainedTokenizerFast)))
    backend = tokenizer.backend_tokenizer
    is_cleaned = tokenizer.clean_up_tokenization_spaces and type(backend.model).__name__ != "BPE"
    if not is_plain or is_cleaned or tokenizer.split_special_tokens:
        return None
    settings = {key: value for key, value in tokenizer.init_kwargs.items() if key == _TEMPLATE_TYPE}
    metadata = TokenizerMetadata(
        tokenizer.special_tokens_map, tokenizer.chat_template, tokenizer.model_max_length, settings
    )
    try:
        text = _without_limits(Tokenizer.from_str(backend.to_str()))
        file = folder / "tokenizer.json"
        is_same_as_file = file.is_file() and _without_limits(Tokenizer.from_file(str(file))) == text
    except Exception:  # parts written in Python cannot be saved, for which `tokenizers` raises a bare Exception
        return None
    return {"facts": asdict(metadata), "backend": None if is_same_as_file else text}


def _overridden(kind: Any, base: Any) -> list[str]:
    """The methods and properties of `base` that are others in `kind`."""
    return [
        name
        for name, inherited in getmembers_static(base)
        if isinstance(inherited, (FunctionType, property)) and getattr_static(kind, name) is not inherited
    ]


def _decides_what_is_encoded(name: str) -> bool:
    """Whether it is one of those methods or, perhaps, one of those that they are made of."""
    return name in _METHODS or (name.startswith("_") and not name.endswith("__"))


def _without_limits(backend: Tokenizer) -> str:
    backend.no_truncation()
    backend.no_padding()
    return str(backend.to_str())


def _behave_alike(fast: FastTokenizer, original: Any) -> bool:
    """Compare vocabulary, named tokens and sample texts, which is quick."""
    samples: Iterable[str] = [*_SAMPLES, *fast.special_tokens_map.values()]
    names = [*NAMED_TOKENS, *(f"{name}_id" for name in NAMED_TOKENS)]
    return (
        fast.get_vocab() == original.get_vocab()
        and all(getattr(fast, name) == getattr(original, name) for name in names)
        and all(fast.encode(text) == original.encode(text) for text in samples)
        and all(fast.decode(original.encode(text)) == original.decode(original.encode(text)) for text in samples)
    )


def _cache_path(folder: Path) -> Path:
    """The cache file for a folder, named by a hash of the files that Transformers reads and the libraries' versions.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256(" ".join([str(_FORMAT), *map(version, ("transformers", "tokenizers", "mlx-lm"))]).encode())
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES and path.is_file()):
        if path.name != "model.safetensors.index.json":
            digest.update(f"\0{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return home() / _CACHE_FOLDER / f"{digest.hexdigest()[:32]}.json"

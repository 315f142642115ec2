"""Whether a folder holds a model that can be loaded; if not, one sentence states what is wrong and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files import adapter_folder
from pensieve.models.loading.checks.packing import require_readable_packing
from pensieve.models.loading.config import CONFIG, read_config
from pensieve.models.safetensors.headers import folder_headers
from pensieve.models.safetensors.shards import missing_weights, weight_files
from pensieve.models.safetensors.validation import LFS_POINTER, validate_safetensors

_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer.model", "tiktoken.model", "vocab.json")
_TEXT_FILES: Final = (
    CONFIG, "generation_config.json", "tokenizer_config.json", "tokenizer.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "chat_template.json", "chat_template.jinja", "model.safetensors.index.json",
)  # fmt: skip
"""The text files of a model that mlx-lm, transformers and tokenizers read."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_PROJECTOR: Final = "mmproj"
"""llama.cpp's prefix for the part that reads images, which lies beside the model's own file."""


def only_gguf(source: str, folder: Path) -> Path | None:
    """The only GGUF file of a folder that is not in MLX format itself; None for other folders.

    Raises:
        ModelLoadingError: there are several; it names them.
    """
    if (folder / CONFIG).exists():
        return None
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".gguf" and path.is_file())
    models = [path for path in files if not path.name.lower().startswith(_PROJECTOR)]
    if len(models) > 1:
        names = ", ".join(path.name for path in models)
        raise ModelLoadingError(source, f"{folder} holds several GGUF files: name one of them as FOLDER/FILE: {names}")
    return models[0] if models else None


def validate_folder(source: str, folder: Path) -> None:
    """Refuse a folder in which a required file is missing, truncated or in a format that mlx-lm does not read.

    Raises:
        ModelLoadingError: it names the file.
    """
    if not (folder / CONFIG).exists():
        raise ModelLoadingError(source, _missing_config(folder))
    _require_plain_text(source, folder)
    config = read_config(source, folder)
    weights = weight_files(folder)
    if not weights:
        raise ModelLoadingError(source, _missing_weights(folder))
    if missing := missing_weights(folder):
        raise ModelLoadingError(source, f"{folder} lacks {', '.join(missing)}: fetch it again")
    for file in weights:
        validate_safetensors(source, file)
    require_readable_packing(source, folder / CONFIG, config, folder_headers(source, folder))
    if not any((folder / name).exists() for name in _TOKENIZER_FILES):
        raise ModelLoadingError(
            source, f"{folder} has no tokenizer.json: copy the tokenizer files of the same model into it"
        )


def _require_plain_text(source: str, folder: Path) -> None:
    for path in (folder / name for name in (*_TEXT_FILES, *_TOKENIZER_FILES)):
        start = _first_bytes(path)
        if start.startswith(_BYTE_ORDER_MARK):
            raise ModelLoadingError(
                source,
                f"{path} starts with a byte order mark: save it as UTF-8 without one",
            )
        if start.startswith(LFS_POINTER):
            raise ModelLoadingError(source, f"{path} is a Git LFS pointer: run `git lfs pull` in its folder")


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(LFS_POINTER))
    except OSError:
        return b""


def _missing_config(folder: Path) -> str:
    if (folder / adapter_folder.CONFIG).exists():
        return "it is an adapter: import it with --adapter PATH --base NAME --name NAME"
    return f"{folder / CONFIG} is missing; a folder in MLX format is needed"


def _missing_weights(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    if torch := list(_ending(names, (".bin", ".pt", ".pth"))):
        return (
            f"{folder} has only PyTorch weights ({torch[0]}): save them as safetensors, for example with "
            "`save_pretrained` of transformers, or fetch a repository that has safetensors"
        )
    if other := list(_ending(names, (".safetensors", ".npz"))):
        return f"{folder} has no model*.safetensors, which mlx-lm reads, but {', '.join(other)}: rename it"
    return f"{folder} has no model*.safetensors; a folder in MLX format is needed"


def _ending(names: Iterable[str], suffixes: tuple[str, ...]) -> Iterable[str]:
    return (name for name in names if name.endswith(suffixes))

"""Files of models, which strangers write: headers of weights, tokenizers, configurations."""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import PensieveError
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.gguf.file import open_gguf
from pensieve.models.library.inventory import local_models
from pensieve.models.library.resolve import resolve
from pensieve.models.library.source import parse_source
from pensieve.models.loading.load import load
from pensieve.models.safetensors.validation import validate_safetensors
from perf_gates.loads.byte_tokenizer import write_byte_tokenizer
from tests.fuzz.growth.search import OK, REFUSED, Cost, Measure, isolated
from tests.support.tiny_model import write_tiny_model

Json = dict[str, Any]
_U8: Final = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
_STRING, _ARRAY, _UINT32 = 8, 9, 4


def _header(entries: Json | str, num_bytes: int = 1) -> bytes:
    header = (entries if isinstance(entries, str) else json.dumps(entries)).encode()
    return len(header).to_bytes(8, "little") + header + b"\0" * num_bytes


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _gguf(num_tensors: int, num_keys: int, contents: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, num_tensors, num_keys) + contents + b"\0" * 64


def _array(kind: int, number: int, contents: bytes) -> bytes:
    return _gguf(0, 1, _text("k") + struct.pack("<IIQ", _ARRAY, kind, number) + contents)


SAFETENSORS: Final[Mapping[str, Callable[[int], bytes]]] = {
    "tensors": lambda n: _header({f"t{at}": {**_U8, "data_offsets": [at, at + 1]} for at in range(n)}, n),
    "names that occur twice": lambda n: _header(
        "{" + "".join(f'"t{at}": {{}}, ' for at in range(n)) + f'"t{n - 1}": {{}}}}'
    ),
    "metadata": lambda n: _header({"__metadata__": {f"k{at}": "v" for at in range(n)}, "t": _U8}),
    "dimensions": lambda n: _header({"t": {**_U8, "shape": [2**62] * n}}),
    "a long name": lambda n: _header({"a" * n: _U8}),
}
GGUF: Final[Mapping[str, Callable[[int], bytes]]] = {
    "keys": lambda n: _gguf(0, n, b"".join(_text(f"k{at}") + struct.pack("<II", _UINT32, at) for at in range(n))),
    "a key again and again": lambda n: _gguf(0, n, (_text("k") + struct.pack("<II", _UINT32, 1)) * n),
    "texts of an array": lambda n: _array(_STRING, n, _text("ab") * n),
    "numbers of an array": lambda n: _array(_UINT32, n, b"\1\0\0\0" * n),
    "arrays of an array": lambda n: _array(_ARRAY, n, struct.pack("<IQI", _UINT32, 1, 7) * n),
    "tensors": lambda n: _gguf(n, 0, b"".join(_text(f"t{at}") + struct.pack("<IQIQ", 1, 1, 0, 0) for at in range(n))),
    "a long key": lambda n: _gguf(0, 1, _text("k" * n) + struct.pack("<II", _UINT32, 1)),
}


def _token(at: int, content: str, **fields: bool) -> Json:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": 300 + at, "content": content, **flags, **fields}


def _sequence(key: str, kind: str, parts: str, part: Json) -> Callable[[Json, int], Json]:
    """The tokenizer with this part again and again before its own."""

    def change(tokenizer: Json, size: int) -> Json:
        own = [tokenizer[key]] if tokenizer.get(key) else []
        return {**tokenizer, key: {"type": kind, parts: [part] * size + own}}

    return change


def _with_vocabulary(tokenizer: Json, tokens: Mapping[str, int], merges: list[list[str]]) -> Json:
    model = tokenizer["model"]
    return {**tokenizer, "model": {**model, "vocab": {**model["vocab"], **tokens}, "merges": merges}}


TOKENIZERS: Final[Mapping[str, Callable[[Json, int], Json]]] = {
    "special tokens": lambda own, n: {**own, "added_tokens": [_token(at, f"<t{at}>", special=True) for at in range(n)]},
    "added tokens": lambda own, n: {
        **own,
        "added_tokens": [_token(at, f"w{at}x", normalized=True, lstrip=True) for at in range(n)],
    },
    "added tokens that are alike": lambda own, n: {
        **own,
        "added_tokens": [_token(at, "<" + "a" * (at % 250) + str(at)) for at in range(n)],
    },
    "tokens": lambda own, n: _with_vocabulary(own, {f"v{at}": 1000 + at for at in range(n)}, []),
    "a long token": lambda own, n: _with_vocabulary(own, {"a" * n: 1000}, []),
    "merges": lambda own, n: _with_vocabulary(
        own,
        {"a" * (at + 2): 1000 + at for at in range(min(n, 1000))},
        [["a" * (at + 1), "a"] for at in range(min(n, 1000))],
    ),
    "normalizers": _sequence("normalizer", "Sequence", "normalizers", {"type": "NFC"}),
    "a long text to prepend": lambda own, n: {**own, "normalizer": {"type": "Prepend", "prepend": "a" * n}},
    "pre-tokenizers": _sequence(
        "pre_tokenizer", "Sequence", "pretokenizers", {"type": "Digits", "individual_digits": True}
    ),
    "decoders": _sequence("decoder", "Sequence", "decoders", {"type": "Fuse"}),
}
OTHERS: Final[Mapping[str, tuple[str, Callable[[Json, int], Json]]]] = {
    "keys": ("config.json", lambda own, n: {**own, **{f"k{at}": at for at in range(n)}}),
    "a long key": ("config.json", lambda own, n: {**own, "k" * n: 1}),
    "quantized layers": (
        "config.json",
        lambda own, n: {
            **own,
            "quantization": {
                "group_size": 64,
                "bits": 4,
                **{f"model.layers.{at}.x": {"bits": 4, "group_size": 64} for at in range(n)},
            },
        },
    ),
    "ends of a turn": ("config.json", lambda own, n: {**own, "eos_token_id": list(range(n))}),
    "keys of generation": ("generation_config.json", lambda _, n: {f"k{at}": at for at in range(n)}),
    "ends in generation": ("generation_config.json", lambda _, n: {"eos_token_id": [at % 500 for at in range(n)]}),
    "weights of an index": (
        "model.safetensors.index.json",
        lambda _, n: {"weight_map": {f"w{at}": "model.safetensors" for at in range(n)}},
    ),
    "files of an index": (
        "model.safetensors.index.json",
        lambda _, n: {"weight_map": {f"w{at}": f"model-{at}.safetensors" for at in range(n)}},
    ),
    "added tokens of a configuration": (
        "tokenizer_config.json",
        lambda own, n: {
            **own,
            "added_tokens_decoder": {str(300 + at): {"content": f"<t{at}>", "special": True} for at in range(n)},
        },
    ),
    "names of special tokens": (
        "tokenizer_config.json",
        lambda own, n: {**own, "additional_special_tokens": [f"<t{at}>" for at in range(n)]},
    ),
    "chat templates": (
        "tokenizer_config.json",
        lambda own, n: {**own, "chat_template": [{"name": f"t{at}", "template": "{{ messages }}"} for at in range(n)]},
    ),
    "variables of a chat template": (
        "tokenizer_config.json",
        lambda own, n: {**own, "chat_template": "".join(f"{{{{ v{at} }}}}" for at in range(n))},
    ),
}


def _named(at: int, **fields: str) -> tuple[str, Json]:
    name = f"m{at}"
    return name, {"name": name, "kind": "folder", "origin": "/nowhere", "path": f"/nowhere/{at}", **fields}


NAMES: Final[Mapping[str, Callable[[int], Json]]] = {
    "imported models": lambda n: {"models": dict(_named(at) for at in range(n))},
    "adapters on adapters": lambda n: {
        "models": dict(_named(at, kind="adapter", base=f"m{at + 1}") for at in range(n))
    },
    "pinned revisions": lambda n: {"pulled": {f"org/m{at}": f"{at:040x}" for at in range(n)}},
    "unknown keys": lambda n: {f"k{at}": at for at in range(n)},
}


@contextmanager
def model_files(folder: Path) -> Iterator[Mapping[str, Measure]]:
    write_byte_tokenizer(folder / "tokenizer")
    model = write_tiny_model(folder / "model", tokenizer_folder=folder / "tokenizer", vocab_size=512, hidden_size=32)
    import_module("pensieve.device.mlx_lm.loading")  # half a second, once
    files = {f"tokenizer with {name}": ("tokenizer.json", change) for name, change in TOKENIZERS.items()}
    files |= {f"model with {name}": file for name, file in OTHERS.items()}
    yield {
        **{f"safetensors with {name}": partial(_of_header, folder, make, _read) for name, make in SAFETENSORS.items()},
        **{f"GGUF with {name}": partial(_of_header, folder, make, _open) for name, make in GGUF.items()},
        **{name: partial(_of_model, model, *file) for name, file in files.items()},
        **{f"names.json with {name}": partial(_of_names, folder / "home", make) for name, make in NAMES.items()},
    }


def _read(path: Path) -> None:
    validate_safetensors("model", path)


def _open(path: Path) -> None:
    with open_gguf(path):
        pass


def _load(folder: Path) -> None:
    load(resolve(str(folder), progress=ConsoleProgress()))


def _of_header(folder: Path, make: Callable[[int], bytes], read: Callable[[Path], None], size: int) -> Cost:
    path = folder / "header"
    path.write_bytes(make(size))
    return _cost(read, path, path.stat().st_size)


def _of_names(home: Path, make: Callable[[int], Json], size: int) -> Cost:
    home.mkdir(exist_ok=True)
    path = home / "names.json"
    path.write_text(json.dumps(make(size)), encoding="utf-8")
    return _cost(_list_models, home, path.stat().st_size)


def _list_models(home: Path) -> None:
    os.environ["PENSIEVE_HOME"] = str(home)  # of a process of its own
    local_models()
    parse_source("org/m0")
    resolve("m0", progress=ConsoleProgress())


def _of_model(model: Path, name: str, change: Callable[[Json, int], Json], size: int) -> Cost:
    folder = model.parent / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(model, folder)
    path = folder / name
    own = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    text = json.dumps(change(own, size))
    path.write_text(text, encoding="utf-8")
    return _cost(_load, folder, len(text))


def _cost(read: Callable[[Path], None], path: Path, num_bytes: int) -> Cost:
    def work() -> Cost:
        begun, status = time.process_time(), OK
        try:
            read(path)
        except PensieveError:
            status = REFUSED
        return Cost(time.process_time() - begun, 0.0, status, num_bytes)

    return isolated(work)

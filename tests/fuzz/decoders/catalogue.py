"""What reads bytes from outside, each with a valid file or body to start from."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np

from pensieve.api.anthropic.decode import decode_count, decode_messages
from pensieve.api.http.content_encoding import decompressed
from pensieve.api.http.schemas.json_schemas import require_schema
from pensieve.api.openai.decode import decode_chat, decode_completion
from pensieve.core.schemas.enforceable import enforceable
from pensieve.models.files.adapter_folder import require_adapter
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.gguf.file import open_gguf
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.load import load
from pensieve.models.safetensors.headers import folder_headers
from perf_gates.loads.byte_tokenizer import write_byte_tokenizer
from tests.fuzz.decoders.decoder import Decoder
from tests.fuzz.decoders.own_files import OWN_FILES
from tests.fuzz.requests import recorded
from tests.models.loading.test_adapters import write_adapter
from tests.support.tiny_model import write_tiny_model

MAX_BYTES: Final = 100_000


def _body(path: str) -> Callable[[Path], bytes]:
    return lambda _: json.dumps(max((body for at, body in recorded() if at == path), key=len)).encode()


def _schema(data: bytes, folder: Path) -> object:
    try:
        schema = json.loads(data)
    except (ValueError, RecursionError):
        return None
    text = require_schema(schema, "schema")
    return enforceable(json.loads(text), lambda _: "")


def _gguf_file(folder: Path) -> bytes:
    path = folder / "seed.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "ab"])
    writer.add_tensor("token_embd.weight", np.zeros((3, 32), np.float32))
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    return path.read_bytes()


def _read_gguf(data: bytes, folder: Path) -> object:
    path = folder / "model.gguf"
    path.write_bytes(data)
    with open_gguf(path) as file:
        return dict(file.metadata)


@cache
def _model(folder: Path) -> Path:
    write_byte_tokenizer(folder / "tokenizer")
    return write_tiny_model(folder / "model", tokenizer_folder=folder / "tokenizer", vocab_size=512, hidden_size=32)


def _file(name: str) -> Callable[[Path], bytes]:
    return lambda folder: (_model(folder) / name).read_bytes()


def _with_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    """Read the model's folder with this file replaced."""

    def read_folder(data: bytes, folder: Path) -> object:
        path = _model(folder) / name
        original = path.read_bytes()
        path.write_bytes(data)
        try:
            return read(path.parent)
        finally:
            path.write_bytes(original)

    return read_folder


@cache
def _adapter(folder: Path) -> Path:
    load(_resolved(_model(folder)))  # imports mlx-lm safely
    return write_adapter(folder / "adapter", _model(folder))


def _adapter_file(name: str) -> Decoder:
    """Read the model with an adapter of which this file is replaced."""

    def read(data: bytes, folder: Path) -> object:
        adapter = _adapter(folder)
        (adapter / name).write_bytes(data)
        require_adapter("adapter", adapter)
        return load(replace(_resolved(_model(folder)), adapter=adapter))

    return Decoder(
        lambda folder: (_adapter(folder) / name).read_bytes(),
        read,
        is_json=name.endswith(".json"),
        refusal_names="adapter",
    )


def _resolved(folder: Path) -> Any:
    return resolve(str(folder), progress=ConsoleProgress())


DECODERS: Final[Mapping[str, Decoder]] = {
    "a Messages body": Decoder(_body("/v1/messages"), lambda data, _: decode_messages(data), is_json=True),
    "a count body": Decoder(_body("/v1/messages/count_tokens"), lambda data, _: decode_count(data), is_json=True),
    "a chat body": Decoder(_body("/v1/chat/completions"), lambda data, _: decode_chat(data), is_json=True),
    "a completion body": Decoder(
        lambda _: b'{"model": "tiny", "prompt": "Hello", "stop": ["x"]}',
        lambda data, _: decode_completion(data),
        is_json=True,
    ),
    "gzip": Decoder(lambda _: gzip.compress(b"Hello" * 100), lambda data, _: decompressed(data, MAX_BYTES)),
    "a schema": Decoder(
        lambda _: json.dumps(recorded()[0][1]["tools"][0]["input_schema"]).encode(), _schema, is_json=True
    ),
    "a GGUF header": Decoder(_gguf_file, _read_gguf),
    "a safetensors header": Decoder(
        _file("model.safetensors"), _with_file("model.safetensors", lambda folder: folder_headers("model", folder))
    ),
    "tokenizer.json": Decoder(
        _file("tokenizer.json"), _with_file("tokenizer.json", lambda folder: load(_resolved(folder))), is_json=True
    ),
    "tokenizer_config.json": Decoder(
        _file("tokenizer_config.json"),
        _with_file("tokenizer_config.json", lambda folder: load(_resolved(folder))),
        is_json=True,
    ),
    "config.json": Decoder(_file("config.json"), _with_file("config.json", _resolved), is_json=True),
    "an adapter's config": _adapter_file("adapter_config.json"),
    "an adapter's weights": _adapter_file("adapters.safetensors"),
    **OWN_FILES,
}

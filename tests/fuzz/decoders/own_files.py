"""The files that Pensieve writes or that its users write for it, each read as commands read it."""

from __future__ import annotations

import argparse
import json
import os
import plistlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np

from pensieve.api.http.keys import KeyFile, KeyFileError, hashed
from pensieve.cli.doctor.check import Subject
from pensieve.cli.doctor.clients import claude_settings
from pensieve.cli.service.definition import ServiceError
from pensieve.cli.service.launchd import Launchd
from pensieve.cli.settings.model_settings import read_model_settings
from pensieve.cli.settings.read import read_settings
from pensieve.cli.settings.settings import SettingsError
from pensieve.cli.settings.settings_file import read_settings_file
from pensieve.engine.kv.blocks import HostArray, KVBlock
from pensieve.engine.prompt_cache.disk import write_budget
from pensieve.engine.prompt_cache.disk.file import DamagedFileError, packed_header, read_block, write_block
from pensieve.engine.prompt_cache.disk.write_budget import WriteBudget
from pensieve.engine.scripted.script import load_script
from pensieve.models.files.atomic_folder import MANIFEST, is_complete, make_folder, recorded_sha256
from pensieve.models.files.checksums import cached_sha256
from pensieve.models.files.home import HOME_VARIABLE
from pensieve.models.files.progress import SilentProgress
from pensieve.models.hub.local import local_copy
from pensieve.models.hub.name import HubName
from pensieve.models.hub.pins import pin
from pensieve.models.library.inventory import local_models
from pensieve.models.library.names import NamedModel, add_name
from pensieve.models.safetensors.shards import missing_weights
from tests.fuzz.decoders.decoder import Decoder

Read = Callable[[Path], object]
_COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"


def _file(name: str, write: Callable[[Path], object], read: Read, **options: Any) -> Decoder:
    """One that reads a file of this name below a home of its own."""

    def seed(folder: Path) -> bytes:
        with _home(folder):
            write(folder / name)
            return (folder / name).read_bytes()

    def read_file(data: bytes, folder: Path) -> object:
        path = folder / name
        with _home(folder):
            path.write_bytes(data)
            path.chmod(0o600)
            return read(path)

    return Decoder(seed, read_file, **options)


def _home(folder: Path) -> Any:
    return patch.dict(os.environ, {HOME_VARIABLE: str(folder), "HOME": str(folder)})


def _text(text: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    return write


def _write_names(path: Path) -> None:
    for name in ("a", "b"):
        add_name(NamedModel(name, "folder", str(path.parent), str(path.parent)))
    pin("organisation/name", _COMMIT)


def _read_names(path: Path) -> object:
    copies = [local_copy(HubName("organisation/name", file)) for file in (None, "model.gguf")]
    return local_models(), copies


def _write_manifest(path: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "a.bin").write_bytes(b"abc")

    make_folder(path.parent, make, source="a", needed_bytes=1, progress=SilentProgress())


def _read_manifest(path: Path) -> object:
    return recorded_sha256(path.parent) if is_complete(path.parent) else None


def _block() -> KVBlock:
    arrays = [HostArray("float16", (1, 2, 4), np.arange(16, dtype=np.uint8))]
    return KVBlock("f", "00" * 32, np.arange(5, dtype=np.uint32), {"layers": [0]}, arrays)


def _write_block(path: Path) -> None:
    write_block(path.parent, _block(), packed_header(_block()))


def _read_settings(path: Path) -> object:
    return read_settings(argparse.Namespace(), {}, read_settings_file(path))


def _read_sums(path: Path) -> object:
    (path.parent / "weights").write_bytes(b"abc")
    return cached_sha256([path.parent / "weights"], SilentProgress())


def _write_plist(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(plistlib.dumps({"Label": "a", "EnvironmentVariables": {"PENSIEVE_PORT": "1"}}))


_SETTINGS: Final = """model = "coder"
port = 8000
cors_origins = ["http://localhost:1"]
idle_unload = "10m"
memory_limit = "50%"
temperature = 0.5
draft_model = "~/draft"
log_file = '~/log'

[models."organisation/name"]
alias = "small"
top_k = 7
template_arguments = { enable_thinking = false }
"""
_MODEL_SETTINGS: Final = _SETTINGS[_SETTINGS.index("[models") :].replace("models.", "")
_KEYS: Final = f'alice = "{hashed("a")}"\n\n[team]\nci = "sk-1"\neditor = "sk-2"\n'
_INDEX: Final = json.dumps(
    {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
)
_SCRIPT: Final = '[server]\nping_seconds = 1\n\n[[reply]]\nwhen = "a"\ntext = "b"\nrepeat = 3\nfail_after_tokens = 1\n'
_CLAUDE: Final = json.dumps(
    {"env": {"ANTHROPIC_BASE_URL": "http://[::1]:1", "ANTHROPIC_MODEL": "x"}, "apiKeyHelper": "y"}
)

OWN_FILES: Final[Mapping[str, Decoder]] = {
    "names.json": _file("names.json", _write_names, _read_names, is_json=True, refusal_names="names.json"),
    "config.toml": _file(
        "config.toml", _text(_SETTINGS), _read_settings, refusals=(SettingsError,), refusal_names="config.toml"
    ),
    "model settings": _file("models.toml", _text(_MODEL_SETTINGS), read_model_settings, refusal_names="models.toml"),
    "keys": _file("keys.toml", _text(_KEYS), KeyFile, refusals=(KeyFileError,), refusal_names="keys.toml"),
    "a block on disk": _file(
        f"{_block().key}.kv", _write_block, read_block, refusals=(DamagedFileError,), refusal_names=".kv"
    ),
    "writes.json": _file(
        write_budget.FILE,
        lambda path: WriteBudget(path.parent).spend(5),
        lambda path: WriteBudget(path.parent).usage(),
        is_json=True,
    ),
    "checksums": _file("file-sums.json", _read_sums, _read_sums, is_json=True),
    "a manifest": _file(f"made/{MANIFEST}", _write_manifest, _read_manifest, is_json=True),
    "an index of weights": _file(
        "model.safetensors.index.json", _text(_INDEX), lambda path: missing_weights(path.parent), is_json=True
    ),
    "a script": _file("script.toml", _text(_SCRIPT), load_script, refusal_names="script.toml"),
    "Claude Code's settings": _file(
        ".claude/settings.json",
        _text(_CLAUDE),
        lambda path: claude_settings(Subject({"HOME": str(path.parents[1])}, path.parents[1])),
        is_json=True,
    ),
    "a launchd agent": _file(
        "Library/LaunchAgents/local.pensieve.server.plist",
        _write_plist,
        lambda path: Launchd(path.parents[2], launchctl="true").variables(),
        refusals=(ServiceError,),
    ),
}

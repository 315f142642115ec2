"""What the documentation's commands find on a reader's machine and on the hub, as tiny models under the same names."""

from __future__ import annotations

import hashlib
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pensieve.models.library import resolve
from tests.models.gguf.gguf_files import write_llama
from tests.models.hub.hub_server import Repo, files_of, small_hub
from tests.models.loading.test_adapters import write_adapter
from tests.support.tiny_model import EMBEDDED_VOCABULARY, write_tiny_model

ALIASES: Final = Path(resolve.__file__).with_name("aliases.toml")
NAMES: Final = (
    "mlx-community/Qwen2.5-Coder-0.5B-Instruct-4bit",
    "mlx-community/Qwen2.5-Coder-1.5B-Instruct-4bit",
    "mlx-community/Qwen2.5-Coder-7B-Instruct-4bit",
    "mlx-community/Qwen3-8B-4bit",
)
TAGGED: Final = ("org/name", "v1", "4f2a19c")
"""A repository of the pages, a tag of it, and the beginning of a commit."""


@contextmanager
def hub_of_pages(folder: Path) -> Iterator[str]:
    """The URL of a hub with every model that the pages name."""
    files = files_of(write_tiny_model(folder / "tiny", vocab_size=EMBEDDED_VOCABULARY, max_position_embeddings=131072))
    with small_hub() as hub:
        for entry in tomllib.loads(ALIASES.read_text(encoding="utf-8"))["model"]:
            repo = hub.repos.setdefault(entry["name"], Repo())
            repo.commits[entry.get("revision") or repo.commit(files)] = files
            repo.branches["main"] = next(iter(repo.commits))
        for name in NAMES:
            hub.repos[name] = Repo()
            hub.repos[name].commit(files)
        name, tag, commit = TAGGED
        whole = commit + hashlib.sha1(files["config.json"]).hexdigest()[len(commit) :]  # noqa: S324 - git's own
        hub.repos[name] = Repo({whole: files}, {"main": whole, tag: whole})
        yield hub.url


def write_files_of_reader(home: Path, work: Path) -> None:
    """A project, a GGUF file, a folder in MLX format, an adapter and a change in git, where the pages have them."""
    for folder in ("Downloads", "mlx", "your-project"):
        (home / folder).mkdir()
    write_llama(home / "Downloads/some-model.Q4_K_M.gguf")
    write_tiny_model(home / "mlx/folder")
    write_adapter(work / "adapters", home / "mlx/folder")
    (work / "readme").write_text("Hello\n", encoding="utf-8")
    for words in (("init", "--quiet"), ("add", "readme")):
        subprocess.run(("/usr/bin/env", "git", *words), cwd=work, check=True)
    (work / "readme").write_text("Good morning\n", encoding="utf-8")

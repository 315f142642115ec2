"""A second start reuses the results of the first."""

from __future__ import annotations

import re
from pathlib import Path

from perf_gates.loads.servers import serving
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

HEAVY = ("transformers", "huggingface_hub", "torch", "pypdf", "rich", "mlx_lm.server")


def start(model: Path, home: Path) -> set[str]:
    """Start a server, wait until it is ready, and return the modules that it imported."""
    environment = {"PENSIEVE_HOME": str(home)}
    with (
        (home / "imports.txt").open("w") as imports,
        serving("--model", str(model), environment=environment, python_options=("-X", "importtime"), stderr=imports),
    ):
        pass  # it is ready
    return set(re.findall(r"^import time: .*\| +(\S+)$", (home / "imports.txt").read_text(), re.MULTILINE))


def test_the_second_start_reuses_the_tokenizer_and_the_probe_of_the_first(tmp_path: Path) -> None:
    folder = write_byte_tokenizer(tmp_path / "model")
    write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)
    home = tmp_path / "home"
    home.mkdir()
    assert "transformers" in start(folder, home)
    probed = (home / "probes.json").stat().st_mtime_ns
    (kept,) = (home / "tokenizers").iterdir()
    imported = start(folder, home)
    assert {"mlx_lm.generate", "quart", "pensieve.engine.engine"} <= imported
    assert not imported.intersection(HEAVY)
    assert (home / "probes.json").stat().st_mtime_ns == probed  # every measurement rewrites it
    assert list((home / "tokenizers").iterdir()) == [kept]

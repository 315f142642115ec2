"""What a model took outside of MLX is the system's again once it is unloaded."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

from pensieve.device import malloc

SCRIPT: Final = """
import asyncio

import psutil

from contracts.values.vocabulary import ModelConfig
from pensieve.serving.model_pool import ModelPool
from tests.serving.heavy_scripts import FakeModels, HeavyScript


def resident():
    return psutil.Process().memory_info().rss


kept = []


class Holding(HeavyScript):
    pieces = ()

    async def aclose(self):
        await super().aclose()
        kept.extend(self.pieces[::50])  # all over the heap, whose end stays in use
        self.pieces = ()


async def play():
    models = FakeModels(one=1)
    pool = ModelPool(lambda source: start(models, source), models.memory, known=models.known)
    model = await pool.load_model(ModelConfig("org/one"))
    model.pieces = [bytes(1000) for _ in range(100_000)]
    full = resident()
    await pool.unload_model("one")
    print(full - resident() > 50_000_000)


async def start(models, source):
    return Holding(source.removeprefix("org/"), 1, models.memory)


asyncio.run(play())
"""


@pytest.mark.skipif(not malloc.can_return_freed_memory(), reason="other allocators than glibc's return it themselves")
def test_unloading_a_model_returns_what_it_freed() -> None:
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["True"]

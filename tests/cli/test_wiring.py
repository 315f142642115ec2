"""The composition root: the memory limit, and settings on their way to the engine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pensieve.cli.wiring import capacity_bytes, model_components
from pensieve.core.errors import ValidationError
from pensieve.engine.engine import Engine
from pensieve.engine.options import EngineOptions
from tests.support.running_server import settings_for

GB = 1000**3


@pytest.mark.parametrize(
    ("machine_bytes", "expected_bytes"), [(64 * GB, 12 * GB), (16 * GB, 12 * GB), (8 * GB, 6 * GB)]
)
def test_the_default_limit_is_twelve_gigabytes_or_three_quarters_of_the_machine(
    machine_bytes: int, expected_bytes: int
) -> None:
    assert capacity_bytes(None, machine_bytes) == expected_bytes


def test_a_given_limit_is_used_unchanged() -> None:
    assert capacity_bytes(15 * GB, 16 * GB) == 15 * GB


def test_a_limit_above_the_machines_memory_is_refused_with_both_figures() -> None:
    with pytest.raises(ValidationError, match=r"--memory-limit: 20\.0 GB is more than the 16\.0 GB"):
        capacity_bytes(20 * GB, 16 * GB)


def test_concurrency_settings_reach_the_engine(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[EngineOptions] = []

    async def start(*arguments: object) -> object:
        received.extend(argument for argument in arguments if isinstance(argument, EngineOptions))
        return None

    monkeypatch.setattr(Engine, "start", start)
    components = model_components(settings_for(model=str(tiny), max_batch_size="3", max_queued="5"))

    async def load() -> None:
        await components.start(str(tiny))

    asyncio.run(load())
    (options,) = received
    assert (options.max_batch_size, options.max_queued) == (3, 5)

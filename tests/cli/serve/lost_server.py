"""A server whose engine hangs at the first request: `python -m tests.cli.serve.lost_server SCRIPT`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

from contracts.values.faults import EngineFault
from contracts.values.generation import GenerationEvent, GenerationStarted
from contracts.values.vocabulary import GenerationRequest
from pensieve.cli.serve.command import serve
from pensieve.cli.settings.settings import Settings
from pensieve.cli.wiring import ServerComponents, scripted_components
from pensieve.core.errors import OverloadedError
from pensieve.engine.scripted.engine import ScriptedEngine
from pensieve.engine.scripted.script import Script
from pensieve.serving.served_model import ServedModel
from perf_gates.loads.in_process_server import settings_for


class _HangingEngine(ScriptedEngine):
    has_hung: asyncio.Event

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield GenerationStarted(await self.count_tokens(request.prompt))
        self.has_hung.set()
        raise OverloadedError("the model failed and is being loaded again", retry_after_seconds=10)

    async def failed(self) -> EngineFault | None:
        await self.has_hung.wait()
        return EngineFault("it hangs", can_reload=False)


def _components(settings: Settings) -> ServerComponents:
    assert settings.script is not None
    parts = scripted_components(settings.script)

    async def start(_: str) -> ServedModel:
        engine = _HangingEngine(Script(), parts.memory, parts.monitor)
        engine.has_hung = asyncio.Event()
        return engine

    return replace(parts, start=start)


if __name__ == "__main__":
    settings = replace(settings_for(script=sys.argv[1]), script=Path(sys.argv[1]), checked=False)
    sys.exit(serve(settings, components=_components))

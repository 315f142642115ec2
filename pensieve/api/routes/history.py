"""`GET /history`: the last hour's figures, for the status page."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import asdict

from quart import Blueprint, jsonify, request
from quart.typing import ResponseReturnValue

from contracts.values.measurements import RequestStage
from contracts.values.vocabulary import BufferUsage
from pensieve.api.history import INTERVAL_SECONDS, MAX_SAMPLES, Reading
from pensieve.api.server_state import ServerState, server_state
from pensieve.core.errors import ValidationError

blueprint = Blueprint("history", __name__)

_NUMBER = re.compile("[0-9]{1,15}")


@blueprint.get("/history")
async def history() -> ResponseReturnValue:
    """The samples after the sample `after`. They are sums over all clients, as those of `/health` are."""
    after = request.args.get("after", "0")
    if not _NUMBER.fullmatch(after):
        raise ValidationError("after", "must be the number of a sample")
    kept = server_state().history
    return jsonify(
        {
            "interval_seconds": INTERVAL_SECONDS,
            "max_samples": MAX_SAMPLES,
            "last_number": kept.last_number,
            "samples": [asdict(sample) for sample in kept.samples_after(int(after))],
        }
    )


async def kept_while_serving(state: ServerState) -> AsyncGenerator[None]:
    """Takes the samples for as long as the app serves."""
    task = asyncio.create_task(state.history.keep(lambda: _reading(state)), name="history")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _reading(state: ServerState) -> Reading:
    """Of a request that has ended, the totals have the tokens."""
    memory = state.models.memory
    open_requests = [
        each for model in state.models.states() for each in model.requests if each.stage is not RequestStage.ENDED
    ]
    waiting = sum(each.stage is RequestStage.WAITING for each in open_requests)
    return Reading(
        reserved_bytes=sum(memory.reserved_bytes(usage) for usage in BufferUsage),
        measured_bytes=memory.usage().total_bytes,
        generated_tokens=state.monitor.totals().tokens_generated + sum(each.output_tokens for each in open_requests),
        running=len(open_requests) - waiting,
        waiting=waiting,
    )

"""What the plan of a step has to know of the prompts, of the model and of the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pensieve.core.scheduling.prefill_budget import (
    MAX_DECODE_STEPS,
    MAX_DECODE_STEPS_IN_ONE_PASS,
    MAX_DECODE_STEPS_ON_CPU,
)
from pensieve.core.scheduling.step_plan import PendingPrompt, PrefillLimits
from pensieve.device.device import device_info

if TYPE_CHECKING:
    from pensieve.engine.decoding.row import Row
    from pensieve.engine.memory.probe import Probe


def pending(row: Row, *, has_begun: bool) -> PendingPrompt:
    return PendingPrompt(row.uid, len(row.token_ids), row.num_remaining, row.next_stop, has_begun)


def prefill_limits(probe: Probe, *, in_one_pass: bool) -> PrefillLimits:
    """`in_one_pass`: chunks share a pass with the tokens of the rows that decode."""
    is_cpu = device_info().backend == "cpu"
    steps = MAX_DECODE_STEPS_IN_ONE_PASS if in_one_pass else MAX_DECODE_STEPS_ON_CPU
    return PrefillLimits(
        fitting=probe.max_chunk_at,
        max_prompts=None if probe.batching == "whole" else 1,
        may_exceed_chunk=not is_cpu,
        max_decode_steps=steps if is_cpu else MAX_DECODE_STEPS,
    )

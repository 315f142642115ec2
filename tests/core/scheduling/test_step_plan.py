"""Properties of every plan, whatever the traffic: nothing starves, no step exceeds its budget or the memory that is
reserved, and only requests that wait for a common prefix are overtaken.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pensieve.core.scheduling.step_plan import MIN_SHARE, PendingPrompt, PrefillLimits, StepPlan, StepPlanner
from tests.core.scheduling.traffic import (
    CAPACITY_TOKENS,
    CHUNK_TOKENS,
    MAX_ROWS,
    MIN_CHUNK_TOKENS,
    Traffic,
    fitting,
)

NUM_STEPS = 250 * settings().max_examples
"""25,000, or fewer in `tox -e fast`, where coverage makes each take five times as long."""
WHOLE = PrefillLimits(fitting=lambda _, num_tokens: num_tokens)


def pending(uid: int, num_remaining: int, num_prefilled: int = 0, next_stop: int | None = None) -> PendingPrompt:
    stop = num_remaining if next_stop is None else min(next_stop, num_remaining)
    return PendingPrompt(uid, num_prefilled, num_remaining, stop, has_begun=num_prefilled > 0)


def check(traffic: Traffic, plan: StepPlan) -> None:
    """The promises of every step."""
    _check_that_nothing_starves(traffic, plan)
    _check_the_order(traffic, plan)
    _check_the_budget(traffic, plan)
    _check_the_memory(traffic, plan)


def _check_that_nothing_starves(traffic: Traffic, plan: StepPlan) -> None:
    waited = [*traffic.waiting, *traffic.running.values()]
    assert all(traffic.num_steps - each.arrived_at <= each.max_steps for each in waited), "a request starves"
    assert plan.decodes == (*traffic.decoding, *plan.joins), "a decoding row is left out"
    remaining = [prompt for prompt in traffic.prefilling.values() if prompt.num_remaining]
    assert plan.prefills or not remaining, "a step idles while a prompt waits"
    assert set(plan.joins) == traffic.prefilling.keys() - {prompt.uid for prompt in remaining}


def _check_the_order(traffic: Traffic, plan: StepPlan) -> None:
    """Who starts is checked when it starts."""
    prefills = [uid for uid, _ in plan.prefills]
    remaining = [prompt for prompt in traffic.prefilling.values() if prompt.num_remaining]
    assert prefills == [prompt.uid for prompt in remaining][: len(prefills)], "not in order of arrival"
    if traffic.limits.max_prompts is None:
        assert {prompt.uid for prompt in remaining if prompt.has_begun} <= set(prefills), "a prefill pauses"


def _check_the_budget(traffic: Traffic, plan: StepPlan) -> None:
    prompts = traffic.prefilling
    assert all(0 < num <= prompts[uid].next_stop for uid, num in plan.prefills)
    assert len(plan.prefills) <= (traffic.limits.max_prompts or MAX_ROWS)
    is_whole = all(num == prompts[uid].next_stop for uid, num in plan.prefills)
    max_chunk = 4 * CHUNK_TOKENS if is_whole else CHUNK_TOKENS
    num_pending = sum(prompt.num_remaining > 0 for prompt in prompts.values())
    num_prompts = min(num_pending, traffic.limits.max_prompts or MAX_ROWS)
    max_tokens = traffic.planner.budget.max_tokens(len(traffic.decoding), max_chunk, num_prompts)
    assert plan.num_prefill_tokens <= max(max_tokens, MIN_SHARE * len(plan.prefills)), "a step is over budget"


def _check_the_memory(traffic: Traffic, plan: StepPlan) -> None:
    assert traffic.reserved <= CAPACITY_TOKENS, "more is reserved than there is"
    assert all(each.num_held <= each.reserved for each in traffic.running.values()), "a row exceeds its reservation"
    deepest = max((traffic.prefilling[uid].num_prefilled for uid, _ in plan.prefills), default=0)
    least = max(MIN_CHUNK_TOKENS, MIN_SHARE * len(plan.prefills))
    max_tokens = max(least, fitting(deepest, plan.num_prefill_tokens))
    assert plan.num_prefill_tokens <= max_tokens, "a chunk exceeds the memory reserved for one"


@pytest.mark.parametrize("max_prompts", [None, 1])
@pytest.mark.parametrize("may_exceed_chunk", [True, False])
def test_steps_of_random_traffic_keep_every_promise(max_prompts: int | None, *, may_exceed_chunk: bool) -> None:
    traffic = Traffic(PrefillLimits(fitting, max_prompts, may_exceed_chunk), seed=20)
    for _ in range(NUM_STEPS):
        traffic.step(check)
    assert traffic.num_ended > 0.05 * NUM_STEPS
    assert traffic.num_overtaken > 0.001 * NUM_STEPS, "some waited for the prefill of a prompt that begins alike"


@given(
    lengths=st.lists(st.integers(1, 5000), min_size=1, max_size=20),
    depth=st.integers(0, 100_000),
    fits=st.integers(16, 512),
)
def test_no_step_needs_more_memory_than_is_reserved(lengths: list[int], depth: int, fits: int) -> None:
    """`fitting` allows `fits` tokens in one step: all prompts together stay below, but for the least share of each."""
    planner = StepPlanner(PrefillLimits(lambda _, num_tokens: min(num_tokens, fits)))
    plan = planner.plan([pending(uid, length, depth) for uid, length in enumerate(lengths)], [], CHUNK_TOKENS)
    assert plan.num_prefill_tokens <= max(fits, MIN_SHARE * len(plan.prefills))


def test_prefill_pauses_at_a_stop() -> None:
    plan = StepPlanner(WHOLE).plan([pending(0, 100, next_stop=30)], [], CHUNK_TOKENS)
    assert plan.prefills == ((0, 30),)


def test_a_prompt_with_nothing_left_joins_before_the_step_decodes() -> None:
    plan = StepPlanner(WHOLE).plan([pending(1, 0, 9), pending(2, 50)], [0], CHUNK_TOKENS)
    assert plan == StepPlan(joins=(1,), decodes=(0, 1), prefills=((2, 50),))
    assert not plan.only_decodes


def test_without_requests_a_plan_is_empty() -> None:
    assert StepPlanner(WHOLE).plan([], [], CHUNK_TOKENS) == StepPlan()

"""Properties of every plan, whatever the traffic: nothing starves, and no step exceeds its limits."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pensieve.core.scheduling.step_plan import MIN_SHARE, PendingPrompt, PrefillLimits, StepPlan, StepPlanner

CHUNK_TOKENS = 128
MAX_ROWS = 8
NUM_STEPS = 250 * settings().max_examples
"""25,000, or fewer in `tox -e fast`, where coverage makes each take five times as long."""
WHOLE = PrefillLimits(fitting=lambda _, num_tokens: num_tokens)


def pending(uid: int, num_remaining: int, num_prefilled: int = 0, next_stop: int | None = None) -> PendingPrompt:
    stop = num_remaining if next_stop is None else min(next_stop, num_remaining)
    return PendingPrompt(uid, num_prefilled, num_remaining, stop, has_begun=num_prefilled > 0)


@dataclass
class Traffic:
    """Requests that arrive at random, and a batch that does what the plans say."""

    limits: PrefillLimits
    seed: int
    waiting: list[PendingPrompt] = field(default_factory=list)
    decoding: dict[int, int] = field(default_factory=dict)
    """The answer tokens left of each row."""
    num_arrived: int = 0
    num_ended: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - traffic, not secrets
        self.planner = StepPlanner(self.limits)

    def step(self) -> StepPlan:
        self._arrive()
        plan = self.planner.plan(self.waiting, list(self.decoding), CHUNK_TOKENS)
        self._check(plan)
        self._execute(plan)
        return plan

    def _arrive(self) -> None:
        while len(self.waiting) + len(self.decoding) < MAX_ROWS and self.random.random() < 0.3:
            length = int(2 ** self.random.uniform(0, 12))
            self.waiting.append(pending(self.num_arrived, length, next_stop=self.random.randint(1, 4096)))
            self.num_arrived += 1

    def _check(self, plan: StepPlan) -> None:
        by_uid = {prompt.uid: prompt for prompt in self.waiting}
        prefills = dict(plan.prefills)
        assert len(prefills) == len(plan.prefills)
        assert all(0 < num <= by_uid[uid].next_stop for uid, num in plan.prefills)
        assert set(plan.joins) == {uid for uid, prompt in by_uid.items() if not prompt.num_remaining}
        assert plan.decodes == (*self.decoding, *plan.joins), "no decoding row is left out"
        remaining = [prompt for prompt in self.waiting if prompt.num_remaining]
        assert list(prefills) == [prompt.uid for prompt in remaining][: len(prefills)], "in order of arrival"
        assert prefills or not remaining, "a step never idles while a prompt waits"
        begun = [prompt.uid for prompt in remaining if prompt.has_begun]
        if self.limits.max_prompts is None:
            assert set(begun) <= set(prefills), "what has begun always takes part"
        else:
            assert len(prefills) <= self.limits.max_prompts
        is_whole = all(prefills[uid] == by_uid[uid].next_stop for uid in prefills)
        most = 4 * CHUNK_TOKENS if is_whole else max(CHUNK_TOKENS, MIN_SHARE * len(prefills))
        assert plan.num_prefill_tokens <= most

    def _execute(self, plan: StepPlan) -> None:
        prefills = dict(plan.prefills)
        for uid in plan.joins:
            self.decoding[uid] = self.random.randint(1, 60)
        self.waiting = [self._advanced(each, prefills.get(each.uid, 0)) for each in self.waiting if each.num_remaining]
        self.num_ended += sum(left == 1 for left in self.decoding.values())
        self.decoding = {uid: left - 1 for uid, left in self.decoding.items() if left > 1}
        seconds = 0.01 + 0.0002 * plan.num_prefill_tokens
        if plan.prefills:
            self.planner.budget.note_prefill(
                plan.num_prefill_tokens, seconds, len(plan.decodes), num_prompts=len(plan.prefills)
            )
        elif plan.decodes:
            self.planner.budget.note_decode(len(plan.decodes), seconds)

    def _advanced(self, prompt: PendingPrompt, num_tokens: int) -> PendingPrompt:
        left = prompt.num_remaining - num_tokens
        stop = prompt.next_stop - num_tokens or self.random.randint(1, 4096)
        begins = num_tokens > 0 or prompt.has_begun
        return PendingPrompt(prompt.uid, prompt.num_prefilled + num_tokens, left, min(stop, left), begins)


@pytest.mark.parametrize("max_prompts", [None, 1])
@pytest.mark.parametrize("may_exceed_chunk", [True, False])
def test_steps_of_random_traffic_keep_every_promise(max_prompts: int | None, *, may_exceed_chunk: bool) -> None:
    limits = PrefillLimits(lambda _, num_tokens: num_tokens, max_prompts, may_exceed_chunk)
    traffic = Traffic(limits, seed=20)
    for _ in range(NUM_STEPS):
        traffic.step()
    assert traffic.num_ended > 0.12 * NUM_STEPS
    assert traffic.num_arrived - traffic.num_ended <= MAX_ROWS, "every other request still runs"


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

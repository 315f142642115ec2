"""Random traffic for the parts that decide about requests, without a model: who starts, and what each step computes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pensieve.core.prefixes.common_prefix import common_prefix
from pensieve.core.prefixes.sharing import PrefillProgress, worth_waiting_for
from pensieve.core.scheduling.start_order import start_in_order
from pensieve.core.scheduling.step_plan import MIN_SHARE, PendingPrompt, PrefillLimits, StepPlan, StepPlanner

CHUNK_TOKENS: Final = 128
MAX_ROWS: Final = 8
MAX_WAITING: Final = 10
MAX_PROMPT_TOKENS: Final = 4096
MAX_ANSWER_TOKENS: Final = 60
CAPACITY_TOKENS: Final = 12_000
"""What all reservations together may take."""
MIN_CHUNK_TOKENS: Final = 16
_ACTIVATIONS: Final = 800 * CHUNK_TOKENS
"""What a chunk may take: each of its tokens takes more the deeper its prompt is."""
_TOKEN_SECONDS: Final = 0.0002, 0.002
"""A prompt's token takes 0.02 or 0.2 of a decode step, in turn: the machine is busy."""
_MAX_STORED: Final = 4


def activations(num_prefilled: int, num_tokens: int) -> int:
    return num_tokens * (100 + num_prefilled)


def fitting(num_prefilled: int, num_tokens: int) -> int:
    while num_tokens > MIN_CHUNK_TOKENS and activations(num_prefilled, num_tokens) > _ACTIVATIONS:
        num_tokens //= 2
    return num_tokens


@dataclass(slots=True)
class Request:
    uid: int
    token_ids: tuple[int, ...]
    answer_tokens: int
    arrived_at: int
    max_steps: int = 0
    """Within which it ends: what it takes if all before it, and all that may overtake it, run one after another."""
    num_held: int = 0
    """Tokens of it in the KV cache."""

    @property
    def reserved(self) -> int:
        return len(self.token_ids) + self.answer_tokens

    @property
    def alone_steps(self) -> int:
        return 2 * len(self.token_ids) // MIN_SHARE + self.answer_tokens + 10


@dataclass
class Traffic:
    """Requests that arrive at random, and a batch that does what the plans say. Some prompts begin alike."""

    limits: PrefillLimits
    seed: int
    planner: StepPlanner = field(init=False)
    waiting: list[Request] = field(default_factory=list)
    running: dict[int, Request] = field(default_factory=dict)
    """In the order of their starts."""
    prefilling: dict[int, PendingPrompt] = field(default_factory=dict)
    decoding: dict[int, int] = field(default_factory=dict)
    """The answer tokens left of each row."""
    stored: list[tuple[int, ...]] = field(default_factory=list)
    held_back: set[int] = field(default_factory=set)
    """The requests that were seen to wait for a prefill in this step."""
    num_steps: int = 0
    num_arrived: int = 0
    num_ended: int = 0
    num_overtaken: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - traffic, not secrets
        self.planner = StepPlanner(self.limits)

    def step(self, check: Callable[[Traffic, StepPlan], None]) -> None:
        self._arrive()
        self.held_back.clear()
        start_in_order(
            list(self.waiting),
            has_place=lambda: len(self.running) < MAX_ROWS,
            waits_for_prefill=self.waits_for_prefill,
            start=self._start,
        )
        plan = self.planner.plan(list(self.prefilling.values()), list(self.decoding), CHUNK_TOKENS)
        check(self, plan)
        self._execute(plan)
        self.num_steps += 1

    @property
    def reserved(self) -> int:
        return sum(each.reserved for each in self.running.values())

    def waits_for_prefill(self, request: Request) -> bool:
        """As the engine decides it: what is prefilled far enough is stored, and no longer waited for."""
        prefills = [
            PrefillProgress(uid, self.running[uid].token_ids, each.num_prefilled)
            for uid, each in self.prefilling.items()
            if each.num_remaining
        ]
        best = worth_waiting_for(request.token_ids, self._cached(request), prefills)
        if best is None:
            return False
        if best.num_prefilled < best.usable_by(request.token_ids):
            self.held_back.add(request.uid)
            return True
        self._store(tuple(best.token_ids[: best.num_prefilled]))
        return False

    def _arrive(self) -> None:
        """Long prompts one by one, and short ones many at once, in turn."""
        are_short = self.num_steps // 800 % 2
        num_arriving = MAX_ROWS * (self.random.random() < 0.02) if are_short else self.random.random() < 0.4
        for _ in range(min(num_arriving, MAX_WAITING - len(self.waiting))):
            length = int(2 ** self.random.uniform(0, 6 if are_short else 12))
            own, num_shared = self.num_arrived + 100, self.random.choice((0, 0, 0, 0, 100, 1000))
            family = self.random.randint(1, 3) if num_shared else own
            token_ids = ((family,) * num_shared + (own,) * length)[:MAX_PROMPT_TOKENS]
            request = Request(own, token_ids, self.random.randint(1, MAX_ANSWER_TOKENS), self.num_steps)
            before = [*self.running.values(), *self.waiting, request]
            request.max_steps = sum(each.alone_steps for each in before) + MAX_ROWS * (MAX_PROMPT_TOKENS // 2)
            self.waiting.append(request)
            self.num_arrived += 1

    def _start(self, request: Request) -> bool:
        if self.reserved + request.reserved > CAPACITY_TOKENS:
            return False
        earlier = [each for each in self.waiting if each.uid < request.uid]
        assert {each.uid for each in earlier} <= self.held_back, "a request is overtaken that waits for no prefill"
        self.num_overtaken += len(earlier)
        self.waiting.remove(request)
        self.running[request.uid] = request
        request.num_held = self._cached(request)
        self.prefilling[request.uid] = self._pending(request, has_begun=False)
        return True

    def _pending(self, request: Request, *, has_begun: bool, next_stop: int = 0) -> PendingPrompt:
        left = len(request.token_ids) - request.num_held
        stop = next_stop or int(2 ** self.random.uniform(0, 12))
        return PendingPrompt(request.uid, request.num_held, left, min(stop, left), has_begun)

    def _cached(self, request: Request) -> int:
        """Without the last token, which is always computed."""
        return max(
            (common_prefix(request.token_ids[:-1], each) for each in self.stored if request.token_ids[1:]), default=0
        )

    def _store(self, token_ids: tuple[int, ...]) -> None:
        if token_ids not in self.stored:
            self.stored = [*self.stored[-_MAX_STORED + 1 :], token_ids]

    def _execute(self, plan: StepPlan) -> None:
        for uid in plan.joins:
            self.decoding[uid] = self.running[uid].answer_tokens
            self._store(self.running[uid].token_ids)
            del self.prefilling[uid]
        for uid, num_tokens in plan.prefills:
            self.running[uid].num_held += num_tokens
            next_stop = self.prefilling[uid].next_stop - num_tokens
            self.prefilling[uid] = self._pending(self.running[uid], has_begun=True, next_stop=next_stop)
        for uid in plan.decodes:
            self._decode(uid)
        self._note_seconds(plan)

    def _decode(self, uid: int) -> None:
        self.running[uid].num_held += 1
        self.decoding[uid] -= 1
        if not self.decoding[uid]:
            del self.decoding[uid]
            del self.running[uid]
            self.num_ended += 1

    def _note_seconds(self, plan: StepPlan) -> None:
        seconds = 0.01 + _TOKEN_SECONDS[self.num_steps // 500 % 2] * plan.num_prefill_tokens
        if plan.prefills:
            num_prompts = len(plan.prefills)
            self.planner.budget.note_prefill(plan.num_prefill_tokens, seconds, len(plan.decodes), num_prompts)
        elif plan.decodes:
            self.planner.budget.note_decode(len(plan.decodes), seconds)

"""A batch says of each request what the model says of it alone, however prompts and answers are put into steps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling
from pensieve.engine.batch.batch import Batch, Computed
from pensieve.engine.decoding.cpu_tuning import CpuTuning
from pensieve.engine.kv.sizes import KVSizes
from pensieve.engine.memory.probe import Probe
from pensieve.engine.options import EngineOptions
from pensieve.engine.prompt_cache.match import Match, MissReason
from pensieve.engine.requests.ticket import Ticket
from pensieve.models.loading.load import LoadedModel
from tests.engine.support.tiny_modules import continuation, prefill, prompt, tiny_module

CHUNK_TOKENS = 128
ROWS = KVSizes(layers=(None,) * 4, in_rows=True)  # type: ignore[arg-type]  # only their number counts here


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_module("llama")


class Passes:
    """The model, and the shape of what went into each of its passes: rows and tokens."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.shapes: list[tuple[int, int]] = []

    def __call__(self, inputs: mx.array, **further: Any) -> mx.array:
        self.shapes.append((int(inputs.shape[0]), int(inputs.shape[1])))
        answer: mx.array = self._model(inputs, **further)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class Run:
    """Requests in one batch, step by step."""

    def __init__(
        self, model: LoadedModel, *, in_rows: bool = True, chunk_tokens: int = CHUNK_TOKENS, deep_bytes: int = 100
    ) -> None:
        sizes = ROWS if in_rows else KVSizes((), in_rows=False)
        probe = Probe(chunk_tokens, 100, 1024, deep_bytes, sizes)
        self.batch = Batch(model, probe, EngineOptions(), chunk_tokens=chunk_tokens)
        self.passes = Passes(model.model)
        self.batch._generator.model = self.passes
        for part in (self.batch._generator._prompt_batch, self.batch._generator._generation_batch):
            part.model = self.passes
        self.said: dict[int, list[int]] = {}
        self.read: list[dict[int, int]] = []
        self.ended: set[int] = set()
        self.computed: dict[int, Computed] = {}
        self.loop = asyncio.new_event_loop()

    def insert(self, token_ids: list[int], max_tokens: int = 20, temperature: float = 0.0) -> int:
        request = GenerationRequest((ChatMessage(Role.USER, ""),), max_tokens, Sampling(temperature=temperature))
        uid = self.batch.insert(self.ticket(request, token_ids), Match(0, None, MissReason.EMPTY))
        self.said[uid] = []
        return uid

    def ticket(self, request: GenerationRequest, token_ids: list[int]) -> Ticket:
        return Ticket(request, token_ids, loop=self.loop)

    def step(self) -> None:
        sampled, read = self.batch.next()
        self.read.append({each.uid: each.num_tokens for each in read if not each.is_complete})
        for each in sampled:
            assert each.uid not in self.ended, "nothing follows an end"
            self.said[each.uid].append(each.token_id)
            if each.finish_reason is not None:
                self.ended.add(each.uid)
                assert each.computed is not None
                self.computed[each.uid] = each.computed

    def all(self) -> list[list[int]]:
        for _ in range(500):
            if len(self.ended) == len(self.said):
                break
            self.step()
        return list(self.said.values())


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    made: list[Run] = []
    yield made
    for run in made:
        run.loop.close()


def alone(model: LoadedModel, token_ids: list[int], num_tokens: int = 20) -> list[int]:
    return continuation(model, prefill(model, token_ids[:-1]), token_ids[-1], num_tokens)


@pytest.mark.parametrize("in_rows", [True, False])
def test_requests_that_come_one_after_another_say_what_each_says_alone(
    model: LoadedModel, runs: list[Run], *, in_rows: bool
) -> None:
    prompts = [prompt(length, length) for length in (40, 1, 300, 7, 90, 2, 64, 65)]
    run = Run(model, in_rows=in_rows)
    runs.append(run)
    for token_ids in prompts:
        run.insert(token_ids)
        run.step()
        run.step()
    assert run.all() == [alone(model, token_ids) for token_ids in prompts]


def test_a_prompt_that_joins_others_takes_no_pass_of_its_own_for_its_last_token(
    model: LoadedModel, runs: list[Run]
) -> None:
    run = Run(model)
    runs.append(run)
    first = run.insert(prompt(20, 1), 200)
    for _ in range(6):
        run.step()
    assert run.said[first], "it is being answered"
    run.passes.shapes.clear()
    second = run.insert(prompt(30, 2), 5)
    while not run.said[second]:
        run.step()
    _, *after = run.passes.shapes[run.passes.shapes.index((1, 29)) :]
    assert after[0] == (1, 1), "the first gets its token, while the second has joined"
    assert set(after[1:]) == {(2, 1)}, "and the second's last token goes in with the first's next"


def test_a_row_that_goes_in_twice_says_the_same_and_is_kept_once(
    model: LoadedModel, runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CpuTuning, "before", lambda _, num_rows: 2 if num_rows == 1 else 1)
    run = Run(model)
    runs.append(run)
    uid = run.insert(prompt(20, 1), 300)
    for _ in range(12):
        run.step()
    assert run.passes.shapes[-4:] == [(1, 2)] * 4
    token_ids, caches = run.batch.computed(uid)
    assert {cache.offset for cache in caches} == {len(token_ids)}
    run.insert(prompt(30, 2), 40)
    assert run.all() == [alone(model, prompt(20, 1), 300), alone(model, prompt(30, 2), 40)]


@pytest.mark.parametrize("in_rows", [True, False])
@pytest.mark.parametrize("max_tokens", [1, 2, 9])
def test_no_pass_follows_the_last_tokens_that_answers_may_have(
    model: LoadedModel, runs: list[Run], max_tokens: int, *, in_rows: bool
) -> None:
    run = Run(model, in_rows=in_rows)
    runs.append(run)
    uids = [run.insert(prompt(20, number), max_tokens) for number in range(2)]
    assert run.all() == [alone(model, prompt(20, number), max_tokens) for number in range(2)]
    assert run.passes.shapes.count((2, 1)) == max_tokens, "the first computes the last token of both prompts"
    for number, uid in enumerate(uids):
        token_ids, caches = run.computed[uid]
        assert token_ids == [*prompt(20, number), *run.said[uid][:-1]], "the last token was in no pass"
        assert {int(cache.offset) for cache in caches} == {len(token_ids)}


def test_an_answer_of_one_token_that_joins_others_has_that_token(model: LoadedModel, runs: list[Run]) -> None:
    run = Run(model)
    runs.append(run)
    run.insert(prompt(20, 1), 40)
    for _ in range(6):
        run.step()
    joined = run.insert(prompt(30, 2), 1)
    run.all()
    assert run.said[joined] == alone(model, prompt(30, 2), 1)


def test_a_row_that_has_not_said_anything_can_be_taken_out(model: LoadedModel, runs: list[Run]) -> None:
    run = Run(model)
    runs.append(run)
    first = run.insert(prompt(20, 1), 40)
    for _ in range(6):
        run.step()
    second = run.insert(prompt(30, 2))
    while second not in run.batch._generator._generation_batch.uids:
        run.step()
    token_ids, caches = run.batch.remove([second])[second]
    assert token_ids == prompt(30, 2)[:-1]
    assert {cache.offset for cache in caches} == {29}
    del run.said[second]
    assert run.all() == [alone(model, prompt(20, 1), 40)]
    assert first in run.ended


def test_many_prompts_are_read_a_few_at_a_time_in_the_order_they_came(model: LoadedModel, runs: list[Run]) -> None:
    run = Run(model)
    runs.append(run)
    uids = [run.insert(prompt(101, number), 4) for number in range(6)]
    run.all()
    assert max(len(read) for read in run.read) == 2, "two shares of 64 are a chunk of 128"
    begun = [uid for read in run.read for uid in read]
    assert list(dict.fromkeys(begun)) == uids
    assert [next(step for step, read in enumerate(run.read) if uid in read) for uid in uids] == [0, 0, 2, 2, 4, 4]


def test_a_short_prompt_need_not_wait_for_the_whole_of_a_long_one(model: LoadedModel, runs: list[Run]) -> None:
    run = Run(model)
    runs.append(run)
    long = run.insert(prompt(2000, 1), 4)
    short = run.insert(prompt(30, 2), 4)
    while not run.said[short]:
        run.step()
    assert run.read[-1][long] < 1000


def test_short_prompts_that_come_together_are_read_whole_in_one_step(model: LoadedModel, runs: list[Run]) -> None:
    """Memory is held ready for a chunk behind 4,096 tokens: enough for more behind none."""
    run = Run(model, deep_bytes=200)
    runs.append(run)
    prompts = [prompt(40 + number, number) for number in range(8)]
    uids = [run.insert(token_ids, 4) for token_ids in prompts]
    assert run.all() == [alone(model, token_ids, 4) for token_ids in prompts]
    assert list(run.read[0]) == uids
    assert run.passes.shapes[0] == (8, 46)


def test_prompts_of_different_lengths_that_are_read_whole_say_what_each_says_alone(
    model: LoadedModel, runs: list[Run]
) -> None:
    run = Run(model, deep_bytes=200)
    runs.append(run)
    prompts = [prompt(120, 1), prompt(30, 2), prompt(100, 3)]
    for token_ids in prompts:
        run.insert(token_ids)
    run.batch._generator._prompt_batch.prefill_step_size = 32  # what mlx-lm would cut the step by
    assert run.all() == [alone(model, token_ids) for token_ids in prompts]
    assert run.passes.shapes[0] == (3, 119)


def test_without_memory_for_it_short_prompts_are_read_a_few_at_a_time(model: LoadedModel, runs: list[Run]) -> None:
    run = Run(model, deep_bytes=100)
    runs.append(run)
    for number in range(8):
        run.insert(prompt(50, number), 4)
    run.step()
    assert len(run.read[0]) == 2


def test_a_long_prompt_is_read_in_chunks_however_much_memory_there_is(model: LoadedModel, runs: list[Run]) -> None:
    run = Run(model, deep_bytes=10_000)
    runs.append(run)
    long = run.insert(prompt(2000, 1), 4)
    run.insert(prompt(30, 2), 4)
    run.step()
    assert run.read[0][long] == CHUNK_TOKENS // 2


def test_prompts_that_are_being_read_go_on_when_streams_can_wait_for_fewer(
    model: LoadedModel, runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(model, chunk_tokens=512)
    runs.append(run)
    prompts = [prompt(300, number) for number in range(12)]
    for token_ids in prompts:
        run.insert(token_ids)
    run.step()
    assert len(run.read[0]) == 8
    monkeypatch.setattr(run.batch._pace, "max_tokens", lambda *_: 64)
    before = len(run.passes.shapes)
    run.step()
    assert run.passes.shapes[before:] == [(8, 8)], "all eight go on, with as many tokens as streams can wait for"
    assert run.all() == [alone(model, token_ids) for token_ids in prompts]


@pytest.mark.parametrize("max_tokens", [1, 2, 20])
def test_a_first_token_is_told_before_the_pass_of_the_second(
    model: LoadedModel, runs: list[Run], max_tokens: int
) -> None:
    run = Run(model)
    runs.append(run)
    uid = run.insert(prompt(30, 2), max_tokens)
    while not run.said[uid]:
        passes = len(run.passes.shapes)
        run.step()
    assert len(run.passes.shapes) == passes
    assert run.all() == [alone(model, prompt(30, 2), max_tokens)]


def test_a_first_token_that_ends_the_answer_is_told_once_and_with_all_that_was_computed(
    model: LoadedModel, runs: list[Run]
) -> None:
    (first,) = alone(model, prompt(30, 2), 1)
    run = Run(replace(model, eos_token_ids=frozenset({first})))
    runs.append(run)
    run.insert(prompt(30, 2))
    assert run.all() == [[first]]

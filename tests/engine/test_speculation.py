"""Several tokens from one pass are those that plain decoding says: the same ones, or of the same distribution."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from contracts.vocabulary import ChatMessage, GenerationRequest, Role, Sampling
from pensieve.core.draft_length import PassCosts
from pensieve.engine.batch import Batch
from pensieve.engine.kv_rows import RowKV
from pensieve.engine.kv_sizes import KVSizes
from pensieve.engine.load_probe import Probe
from pensieve.engine.options import EngineOptions
from pensieve.engine.samplers import sampler_for
from pensieve.engine.speculation import Pace, Speculation
from pensieve.models.load import LoadedModel
from pensieve.models.sources import ModelFolder
from tests.conftest import start_engine
from tests.engine.asking import answer
from tests.engine.tiny_modules import prompt, tiny_module

from mlx_lm.generate import BatchGenerator  # isort: skip - tiny_modules imports mlx-lm harmlessly

NUM_LAYERS = 4
REPEATING = [*prompt(12, 5) * 4]


class FlatCosts(PassCosts):
    def seconds(self, width: int) -> float:  # noqa: ARG002 - that is the point of it
        return 1.0


class Eager(Pace):
    """A machine on which a pass takes a second, however wide: whatever may come true is checked."""

    def costs(self, num_rows: int) -> PassCosts:  # noqa: ARG002 - for any number
        return FlatCosts()


class Run:
    """Requests decoded together to their ends: what mlx-lm's responses say of each."""

    def __init__(self, model: LoadedModel, *, speculates: bool, stop_tokens: tuple[int, ...] = ()) -> None:
        self.generator = BatchGenerator(
            model.model,
            stop_tokens=[[token_id] for token_id in stop_tokens],
            completion_batch_size=64,
            prefill_batch_size=64,
            stream=mx.default_stream(mx.default_device()),
        )
        self.pace: Pace = Eager()
        if speculates:
            self.speculation = Speculation(self.generator._generation_batch, self.pace)
        self.said: dict[int, list[int]] = {}
        self.last: dict[int, Any] = {}

    def insert(self, prompts: list[list[int]], max_tokens: int = 60, sampler: Any = None) -> list[int]:
        uids: list[int] = self.generator.insert(
            prompts,
            [max_tokens] * len(prompts),
            caches=[[RowKV() for _ in range(NUM_LAYERS)] for _ in prompts],
            samplers=[sampler] * len(prompts) if sampler else None,
        )
        self.said.update({uid: [] for uid in uids})
        return uids

    def steps(self, most: int) -> Run:
        for _ in range(most):
            for response in self.generator.next()[1]:
                assert response.uid not in self.last, "nothing follows an end"
                self.said[response.uid].append(int(response.token))
                if response.finish_reason is not None:
                    self.last[response.uid] = response
            if len(self.last) == len(self.said):
                break
        return self

    def all(self) -> list[list[int]]:
        return list(self.steps(500).said.values())


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_module("llama")


def alone(model: LoadedModel, token_ids: list[int], max_tokens: int = 60, stops: tuple[int, ...] = ()) -> Run:
    run = Run(model, speculates=False, stop_tokens=stops)
    run.insert([token_ids], max_tokens)
    return run.steps(500)


def assert_same_end(speculated: Run, plain: Run) -> None:
    """Tokens, reason, and the KV that is handed out."""
    assert list(speculated.said.values()) == list(plain.said.values())
    for one, other in zip(speculated.last.values(), plain.last.values(), strict=True):
        assert one.finish_reason == other.finish_reason
        assert one.all_tokens == other.all_tokens
        for row, plain_row in zip(one.prompt_cache, other.prompt_cache, strict=True):
            assert row.offset == plain_row.offset == len(one.all_tokens)
            for array, plain_array in zip(row.filled(), plain_row.filled(), strict=True):
                assert mx.allclose(array, plain_array, atol=1e-4)


@pytest.mark.parametrize("token_ids", [REPEATING, prompt(70, 1), [3, 3, 3, 3], prompt(5, 2) * 3])
def test_at_temperature_zero_the_tokens_are_those_of_plain_decoding(model: LoadedModel, token_ids: list[int]) -> None:
    speculated = Run(model, speculates=True)
    speculated.insert([token_ids], 150)
    assert_same_end(speculated.steps(500), alone(model, token_ids, 150))
    counts = speculated.pace.counts
    assert counts.tokens == 150
    assert counts.proposed > counts.accepted > 0, "drafts were right, and wrong"
    assert counts.tokens_per_pass > 1.0


def test_rows_of_one_batch_are_checked_together_and_say_what_each_says_alone(model: LoadedModel) -> None:
    prompts = [REPEATING, prompt(9, 3), prompt(40, 4), [7, 8] * 20]
    speculated = Run(model, speculates=True)
    speculated.insert(prompts[:2])
    speculated.steps(5)
    speculated.insert(prompts[2:])
    plain = [alone(model, each).all()[0] for each in prompts]
    assert speculated.all() == plain
    assert speculated.pace.counts.accepted > 0


@pytest.mark.parametrize("max_tokens", [1, 2, 3, 7, 20])
def test_an_answer_is_never_longer_than_was_asked_for(model: LoadedModel, max_tokens: int) -> None:
    token_ids = [*REPEATING, *alone(model, REPEATING).all()[0]]
    speculated = Run(model, speculates=True)
    speculated.insert([token_ids], max_tokens)
    assert_same_end(speculated.steps(500), alone(model, token_ids, max_tokens))


def test_a_stop_within_what_was_accepted_ends_the_row_just_there(model: LoadedModel) -> None:
    """The greedy answer cycles in the end; a token late in the cycle, made a stop once the cycle is in the prompt."""
    said = alone(model, REPEATING, 200).all()[0]
    token_ids = [*REPEATING, *said[:150]]
    coming = alone(model, token_ids, 40).all()[0]
    ended_within_a_draft = False
    for stop in sorted(set(coming)):
        speculated = Run(model, speculates=True, stop_tokens=(stop,))
        speculated.insert([token_ids], 40)
        assert_same_end(speculated.steps(500), alone(model, token_ids, 40, (stop,)))
        counts = speculated.pace.counts
        ended_within_a_draft |= counts.tokens < counts.passes + counts.accepted
    assert ended_within_a_draft, "a stop came before the end of an accepted draft at least once"


@pytest.mark.parametrize(
    "sampling", [Sampling(temperature=1.0), Sampling(temperature=0.7, top_p=0.9, top_k=4), Sampling(temperature=1.5)]
)
def test_sampled_answers_are_drawn_from_the_models_own_distribution(sampling: Sampling) -> None:
    model, vocabulary = _of_few_tokens(5)
    token_ids, num_tokens, num_draws = _every_triple_of(5), 3, 1920
    mx.random.seed(20)
    drawn: Counter[tuple[int, ...]] = Counter()
    pace = Eager()
    for _ in range(num_draws // 64):
        run = Run(model, speculates=True)
        run.speculation._pace = pace
        run.insert([token_ids] * 64, num_tokens, sampler_for(sampling, vocabulary))
        drawn.update(tuple(said) for said in run.all())
    assert pace.counts.accepted > 200
    assert pace.counts.proposed - pace.counts.accepted > 200
    chances = _chances(model, vocabulary, token_ids, num_tokens, sampling)
    assert math.isclose(sum(chances.values()), 1.0, abs_tol=1e-4)
    assert _improbability(drawn, chances, num_draws) < 3.5


def _every_triple_of(vocabulary: int) -> list[int]:
    """A text in which whatever comes has come before, so that there always is a draft."""
    text, seen = [0, 0], set()
    while True:
        coming = [token for token in reversed(range(vocabulary)) if (*text[-2:], token) not in seen]
        if not coming:
            return text
        seen.add((*text[-2:], coming[0]))
        text.append(coming[0])


def _of_few_tokens(vocabulary: int) -> tuple[LoadedModel, int]:
    """The tiny llama with the first few tokens of its vocabulary alone."""
    model = tiny_module("llama")
    module = model.model
    module.update(
        {
            "model": {"embed_tokens": {"weight": module.model.embed_tokens.weight[:vocabulary]}},
            "lm_head": {"weight": module.lm_head.weight[:vocabulary] * 0.5},
        }
    )
    return replace(model, vocabulary_size=vocabulary), vocabulary


def _chances(
    model: LoadedModel, vocabulary: int, token_ids: list[int], num_tokens: int, sampling: Sampling
) -> dict[tuple[int, ...], float]:
    """Of every answer of so many tokens, worked out one after another without a cache."""
    answers = list(itertools.product(range(vocabulary), repeat=num_tokens))
    logits = model.model(mx.array([[*token_ids, *said] for said in answers]))[:, len(token_ids) - 1 : -1]
    found = {}
    for said, lines in zip(answers, np.array(logits, np.float64), strict=True):
        found[said] = math.prod(_distribution(line, sampling)[token] for token, line in zip(said, lines, strict=True))
    return found


def _distribution(logits: np.ndarray[Any, Any], sampling: Sampling) -> np.ndarray[Any, Any]:
    """As mlx-lm has it: top_p and top_k of the untempered probabilities, and then the temperature."""
    chances = np.exp(logits - logits.max())
    chances /= chances.sum()
    order = np.argsort(-chances)
    kept = len(chances)
    if sampling.top_p is not None:
        kept = int(np.sum(np.cumsum(chances[order]) - chances[order] < sampling.top_p))
    kept = min(kept, sampling.top_k or kept)
    powered = np.zeros_like(chances)
    powered[order[:kept]] = chances[order[:kept]] ** (1 / sampling.temperature)
    tempered: np.ndarray[Any, Any] = powered / powered.sum()
    return tempered


def _improbability(drawn: Counter[tuple[int, ...]], chances: dict[tuple[int, ...], float], num_draws: int) -> float:
    """Chi-square of what was drawn, as a deviation of the normal distribution (Wilson and Hilferty)."""
    cells = [(drawn[answer], chance * num_draws) for answer, chance in chances.items()]
    common = [(count, wanted) for count, wanted in cells if wanted >= 5]
    rare = [(count, wanted) for count, wanted in cells if wanted < 5]
    common.append((sum(count for count, _ in rare), sum(wanted for _, wanted in rare) + 1e-9))
    statistic = sum((count - wanted) ** 2 / wanted for count, wanted in common if wanted > 1e-6 or count)
    spread = 2 / (9 * (len(common) - 1))
    return float(((statistic / (len(common) - 1)) ** (1 / 3) - (1 - spread)) / math.sqrt(spread))


def test_caches_that_cannot_be_cut_are_left_to_plain_decoding() -> None:
    model = tiny_module("gemma3_text")
    batch = Batch(model, Probe(16, 1, 0, 1, KVSizes((), in_rows=False)), EngineOptions(), chunk_tokens=16)
    batch.speculate(Pace())
    assert not isinstance(getattr(batch._generator._generation_batch.next, "__self__", None), Speculation)


WORDS = {"type": "array", "items": {"const": "the lighthouse keeper"}, "minItems": 12, "maxItems": 12}
HELD = GenerationRequest(
    (ChatMessage(Role.USER, "Say it."),),
    max_tokens=160,
    sampling=Sampling(temperature=0.0),
    output_schema=json.dumps(
        {"type": "object", "properties": {"words": WORDS}, "required": ["words"], "additionalProperties": False}
    ),
)


async def _plain_and_speculated(folder: ModelFolder, *requests: GenerationRequest) -> tuple[list[Any], list[Any], Any]:
    answers: list[list[Any]] = []
    for speculation in (False, True):
        engine = await start_engine(folder, EngineOptions(speculation=speculation))
        engine._pace = Eager()
        await asyncio.wrap_future(engine._loop.call(engine._loop._fail_running))  # a batch of that pace
        answers.append([await answer(engine, request) for request in requests])
        await engine.aclose()
    return answers[0], answers[1], engine.speculation_counts()


def test_what_a_grammar_holds_is_decoded_plainly(tiny_folder: ModelFolder) -> None:
    """Taking tokens back from a grammar was seen to break it, with a forced call at temperature 1."""
    plain, speculated, counts = asyncio.run(_plain_and_speculated(tiny_folder, HELD))
    assert speculated == plain
    assert json.loads(plain[0][0]) == {"words": ["the lighthouse keeper"] * 12}
    assert counts.proposed == 0


def test_a_held_row_beside_one_that_is_drafted_says_what_it_says_alone(tiny_folder: ModelFolder) -> None:
    """They share passes: the held row has one token in each, the other several."""
    copying = replace(HELD, output_schema=None, messages=(ChatMessage(Role.USER, "again and " * 40),))

    async def play() -> tuple[str, str, int]:
        engine = await start_engine(tiny_folder)
        engine._pace = Eager()
        await asyncio.wrap_future(engine._loop.call(engine._loop._fail_running))
        alone, _ = await answer(engine, HELD)
        (beside, _), _ = await asyncio.gather(answer(engine, HELD), answer(engine, copying))
        await engine.aclose()
        return alone, beside, engine.speculation_counts().proposed

    alone, beside, proposed = asyncio.run(play())
    assert beside == alone
    assert proposed > 0


def test_a_stop_sequence_ends_a_held_answer_where_it_ends_plainly(tiny_folder: ModelFolder) -> None:
    (text, _), *_ = asyncio.run(_plain_and_speculated(tiny_folder, HELD))[0]
    stopping = [replace(HELD, stop_sequences=(text[30:end],)) for end in (170, 180, 190)]
    plain, speculated, _ = asyncio.run(_plain_and_speculated(tiny_folder, *stopping, HELD))
    assert speculated == plain
    assert [finished.stop_sequence for _, finished in plain[:-1]] == [each.stop_sequences[0] for each in stopping]

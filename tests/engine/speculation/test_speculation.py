"""Speculation gives the tokens of plain decoding, in fewer passes."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling
from pensieve.core.drafts.length import MatchAcceptance, PassCosts
from pensieve.engine.decoding.decoding_rows import DecodingRows
from pensieve.engine.decoding.row import Row, Sampled
from pensieve.engine.decoding.samplers import sampler_for
from pensieve.engine.kv.batch_caches import BatchCaches
from pensieve.engine.kv.rows.row import RowKV
from pensieve.engine.options import EngineOptions
from pensieve.engine.speculation.pass_costs import Pace
from pensieve.engine.speculation.speculation import SpeculatedRow, Speculation
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.loading.load import LoadedModel
from tests.engine.support.generate import answer
from tests.engine.support.tiny_modules import VOCABULARY, prompt, tiny_module
from tests.support.engines import start_engine, with_pace

NUM_LAYERS = 4
GREEDY = sampler_for(Sampling(temperature=0.0), VOCABULARY)
REPEATING = [*prompt(12, 5) * 4]


class FlatCosts(PassCosts):
    def seconds(self, width: int) -> float:  # noqa: ARG002 - the same for any width
        return 1.0


class Eager(Pace):
    """A machine on which every pass takes a second, however wide: any promising draft is verified."""

    def costs(self, num_rows: int) -> PassCosts:  # noqa: ARG002 - for any number
        return FlatCosts()


class RowsRun:
    """Prefilled rows, decoded together to their ends."""

    def __init__(
        self, model: LoadedModel, *, speculates: bool, stop_tokens: tuple[int, ...] = (), pace: Pace | None = None
    ) -> None:
        self.model = model
        self.rows = DecodingRows(model.model, stop_tokens, BatchCaches())
        self.pace = pace or Eager()
        self.speculation = Speculation(self.rows, self.pace)
        self._decodes: Speculation | DecodingRows = self.speculation if speculates else self.rows
        self._uids = itertools.count()
        self.tokens: dict[int, list[int]] = {}
        self.last: dict[int, Sampled] = {}

    def insert(self, prompts: list[list[int]], max_tokens: int = 60, sampler: Any = None) -> list[int]:
        uids = [next(self._uids) for _ in prompts]
        prefilled = {each: self._prefilled(each) for each in set(map(tuple, prompts))}
        joining = BatchCaches()
        for token_ids in prompts:
            copies = [RowKV(tuple(map(mx.array, row.arrays)), row.offset) for row in prefilled[tuple(token_ids)]]
            joining.extend(BatchCaches.of([copies]))
        rows = [
            Row(uid, token_ids, token_ids[:-1], (), max_tokens, sampler or GREEDY, [])
            for uid, token_ids in zip(uids, prompts, strict=True)
        ]
        self.rows.join(rows, joining)
        self.tokens.update({uid: [] for uid in uids})
        return uids

    def _prefilled(self, token_ids: tuple[int, ...]) -> list[RowKV]:
        """The caches of all tokens but the last."""
        caches = [RowKV() for _ in range(NUM_LAYERS)]
        if len(token_ids) > 1:
            mx.eval(self.model.model(mx.array([token_ids[:-1]]), cache=BatchCaches.of([caches]).layers))
        return caches

    def steps(self, max_steps: int) -> RowsRun:
        for _ in range(max_steps):
            for sampled in self._decodes.next():
                assert sampled.uid not in self.last, "nothing follows an end"
                self.tokens[sampled.uid].append(sampled.token_id)
                if sampled.finish_reason is not None:
                    self.last[sampled.uid] = sampled
            if len(self.last) == len(self.tokens):
                break
        return self

    def finish(self) -> list[list[int]]:
        return list(self.steps(500).tokens.values())


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_module("llama")


def alone(model: LoadedModel, token_ids: list[int], max_tokens: int = 60, stops: tuple[int, ...] = ()) -> RowsRun:
    run = RowsRun(model, speculates=False, stop_tokens=stops)
    run.insert([token_ids], max_tokens)
    return run.steps(500)


def assert_same_end(speculated: RowsRun, plain: RowsRun) -> None:
    """Compare tokens, finish reasons and KV. Either may lack the KV of the last token that max_tokens allows."""
    assert list(speculated.tokens.values()) == list(plain.tokens.values())
    for one, other in zip(speculated.last.values(), plain.last.values(), strict=True):
        assert one.finish_reason == other.finish_reason
        assert one.computed is not None
        assert other.computed is not None
        (token_ids, caches), (plain_ids, plain_caches) = one.computed, other.computed
        num_tokens = min(len(token_ids), len(plain_ids))
        assert token_ids[:num_tokens] == plain_ids[:num_tokens]
        assert abs(len(plain_ids) - len(token_ids)) <= (1 if one.finish_reason == "length" else 0)
        for row, plain_row in zip(caches, plain_caches, strict=True):
            assert row.offset == len(token_ids)
            assert plain_row.offset == len(plain_ids)
            for array, plain_array in zip(row.filled(), plain_row.filled(), strict=True):
                assert mx.allclose(array[:, :, :num_tokens], plain_array[:, :, :num_tokens], atol=1e-4)


@pytest.mark.parametrize("token_ids", [REPEATING, prompt(70, 1), [3, 3, 3, 3], prompt(5, 2) * 3])
def test_greedy_tokens_are_those_of_plain_decoding(model: LoadedModel, token_ids: list[int]) -> None:
    speculated = RowsRun(model, speculates=True)
    speculated.insert([token_ids], 150)
    assert_same_end(speculated.steps(500), alone(model, token_ids, 150))
    counts = speculated.pace.counts
    assert counts.tokens == 150
    assert counts.proposed > counts.accepted > 0, "some drafts were accepted, and some rejected"
    assert counts.tokens_per_pass > 1.0


def test_batched_rows_get_the_same_tokens_as_each_alone(model: LoadedModel) -> None:
    prompts = [REPEATING, prompt(9, 3), prompt(40, 4), [7, 8] * 20]
    speculated = RowsRun(model, speculates=True)
    speculated.insert(prompts[:2])
    speculated.steps(5)
    speculated.insert(prompts[2:])
    plain = [alone(model, each).finish()[0] for each in prompts]
    assert speculated.finish() == plain
    assert speculated.pace.counts.accepted > 0


@pytest.mark.parametrize("max_tokens", [1, 2, 3, 7, 20])
def test_an_answer_has_at_most_max_tokens(model: LoadedModel, max_tokens: int) -> None:
    token_ids = [*REPEATING, *alone(model, REPEATING).finish()[0]]
    speculated = RowsRun(model, speculates=True)
    speculated.insert([token_ids], max_tokens)
    assert_same_end(speculated.steps(500), alone(model, token_ids, max_tokens))


def test_a_stop_token_within_an_accepted_draft_ends_the_row_there(model: LoadedModel) -> None:
    """The greedy answer ends in a cycle. With it in the prompt, each of its tokens is made a stop token in turn."""
    answer_ids = alone(model, REPEATING, 200).finish()[0]
    token_ids = [*REPEATING, *answer_ids[:150]]
    continuation = alone(model, token_ids, 40).finish()[0]
    ended_within_a_draft = False
    for stop in sorted(set(continuation)):
        speculated = RowsRun(model, speculates=True, stop_tokens=(stop,))
        speculated.insert([token_ids], 40)
        assert_same_end(speculated.steps(500), alone(model, token_ids, 40, (stop,)))
        counts = speculated.pace.counts
        ended_within_a_draft |= counts.tokens < counts.passes + counts.accepted
    assert ended_within_a_draft, "a stop came before the end of an accepted draft at least once"


def test_a_prompt_that_repeats_itself_gets_drafts_sooner() -> None:
    """After as few matching tokens as within the prompt itself. A prompt without repetition changes nothing."""
    sentence = prompt(12, 5)
    repeating, usual = SpeculatedRow(sentence * 6), SpeculatedRow(prompt(72, 1))
    for row in (repeating, usual):
        row.add([63, *(sentence if row is repeating else prompt(72, 1))[:2]])
        assert row.lookup.match_length == 2
    assert repeating.chance > 2 * usual.chance, "the prompt's own repetitions count"
    assert [usual.acceptance.chance(length) for length in range(40)] == [
        MatchAcceptance().chance(length) for length in range(40)
    ]


WORDS = {"type": "array", "items": {"const": "the lighthouse keeper"}, "minItems": 12, "maxItems": 12}
CONSTRAINED = GenerationRequest(
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
        engine = await start_engine(folder, EngineOptions(speculation=speculation), change=with_pace(Eager()))
        answers.append([await answer(engine, request) for request in requests])
        await engine.aclose()
    return answers[0], answers[1], engine.speculation_counts()


def test_rows_with_a_grammar_decode_plainly(tiny_folder: ModelFolder) -> None:
    """Taking tokens back from a grammar was observed to break it, with a forced call at temperature 1."""
    plain, speculated, counts = asyncio.run(_plain_and_speculated(tiny_folder, CONSTRAINED))
    assert speculated == plain
    assert json.loads(plain[0][0]) == {"words": ["the lighthouse keeper"] * 12}
    assert counts.proposed == 0


def test_a_constrained_row_beside_a_speculated_one_gets_the_same_tokens(tiny_folder: ModelFolder) -> None:
    """They share passes, with one token of the constrained row and several of the other."""
    copying = replace(CONSTRAINED, output_schema=None, messages=(ChatMessage(Role.USER, "again and " * 40),))

    async def play() -> tuple[str, str, int]:
        engine = await start_engine(tiny_folder, change=with_pace(Eager()))
        alone, _ = await answer(engine, CONSTRAINED)
        (beside, _), _ = await asyncio.gather(answer(engine, CONSTRAINED), answer(engine, copying))
        await engine.aclose()
        return alone, beside, engine.speculation_counts().proposed

    alone, beside, proposed = asyncio.run(play())
    assert beside == alone
    assert proposed > 0


def test_a_stop_sequence_ends_a_constrained_answer_at_the_same_place(tiny_folder: ModelFolder) -> None:
    (text, _), *_ = asyncio.run(_plain_and_speculated(tiny_folder, CONSTRAINED))[0]
    stopping = [replace(CONSTRAINED, stop_sequences=(text[30:end],)) for end in (170, 180, 190)]
    plain, speculated, _ = asyncio.run(_plain_and_speculated(tiny_folder, *stopping, CONSTRAINED))
    assert speculated == plain
    assert [finished.stop_sequence for _, finished in plain[:-1]] == [each.stop_sequences[0] for each in stopping]

"""What a draft model guesses is checked as a lookup's drafts are: the answers stay, and it is asked where it pays."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest

from contracts.values.vocabulary import Sampling
from pensieve.core.drafts.length import PassCosts
from pensieve.core.drafts.prompt_lookup import PromptLookup
from pensieve.engine.decoding.samplers import sampler_for
from pensieve.engine.kv.sizes import KVSizes, LayerKV
from pensieve.engine.memory.probe import Probe
from pensieve.engine.speculation import draft_policy as drafting
from pensieve.engine.speculation.draft_model import DraftModel, DraftRow
from pensieve.engine.speculation.draft_policy import DraftPolicy
from pensieve.engine.speculation.pass_costs import Pace
from pensieve.engine.speculation.speculation import Speculation
from pensieve.models.loading.load import LoadedModel
from tests.engine.speculation.test_speculation import NUM_LAYERS, Run, alone, assert_same_end
from tests.engine.support.tiny_modules import VOCABULARY, prefill, prompt, tiny_module

CHUNK_TOKENS = 16
PROBE = Probe(CHUNK_TOKENS, 1, 0, 1, KVSizes((LayerKV(256),) * NUM_LAYERS, in_rows=True))


class MadeUpCosts(PassCosts):
    def seconds(self, width: int) -> float:
        return 1.0 + 0.05 * (width - 1)


class MadeUpPace(Pace):
    def costs(self, num_rows: int) -> PassCosts:  # noqa: ARG002 - for any number
        return MadeUpCosts()


class Draft(DraftModel):
    """A token of its costs a tenth of a plain pass."""

    def __init__(self, model: LoadedModel) -> None:
        super().__init__(model, PROBE, VOCABULARY, 0.1)
        self.num_drafted = 0
        self.asked: list[DraftRow] = []

    def seconds(self, num_rows: int, plain_seconds: float) -> float:  # noqa: ARG002 - for any number
        return 0.1 * plain_seconds

    def draft(self, rows: Any, unread: Any, lengths: Any) -> list[list[int]]:
        self.num_drafted += sum(lengths)
        self.asked = list(rows)
        return super().draft(rows, unread, lengths)


class DraftedRun(Run):
    def __init__(self, model: LoadedModel, draft: DraftModel, *, stop_tokens: tuple[int, ...] = ()) -> None:
        super().__init__(model, speculates=False, stop_tokens=stop_tokens)
        self.pace = MadeUpPace()
        self.drafting = DraftPolicy(draft)
        self.batch = self.generator._generation_batch
        self.speculation = Speculation(self.batch, self.pace, self.drafting)

    def check_rows(self) -> None:
        """After a step: what the draft model holds of a row is what the row holds, or less."""
        for uid, known in zip(self.batch.uids, self.batch.tokens, strict=True):
            row = self.drafting._rows.get(uid)
            if row is not None:
                assert all(cache.offset == row.num_read for cache in row.caches)
                assert row.num_read <= len(known)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_module("llama")


@pytest.fixture(scope="module")
def stranger() -> LoadedModel:
    """Another model of the same form: it is hardly ever right."""
    return tiny_module("llama", seed=7)


@pytest.fixture
def no_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PromptLookup, "has_source", False)


@pytest.mark.usefixtures("no_lookups")
@pytest.mark.parametrize("num_prompt_tokens", [1, 5, 100])
def test_a_perfect_draft_brings_several_tokens_a_pass_and_the_same_answer(
    model: LoadedModel, num_prompt_tokens: int
) -> None:
    token_ids = prompt(num_prompt_tokens, 1)
    run = DraftedRun(model, Draft(model))
    run.insert([token_ids], 150)
    assert_same_end(run.steps(500), alone(model, token_ids, 150))
    counts = run.pace.counts
    assert counts.tokens == 150
    assert counts.proposed == counts.accepted > 100
    assert counts.tokens_per_pass > 3.0


@pytest.mark.usefixtures("no_lookups")
def test_plain_passes_are_timed_now_and_then_where_drafts_go_on_and_on(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafting, "_CHECKS_BEFORE_REST", 20)

    class Timed(MadeUpCosts):
        widths: list[int] = []  # noqa: RUF012 - of the one test

        def note(self, width: int, seconds: float) -> None:  # noqa: ARG002 - made up
            self.widths.append(width)

    run = DraftedRun(model, Draft(model))
    monkeypatch.setattr(run.pace, "costs", lambda _: Timed())
    run.insert([prompt(5, 2)], 3000)
    run.steps(90)
    assert 6 <= Timed.widths[10:].count(1) <= 12
    assert run.pace.counts.accepted > 1000


@pytest.mark.usefixtures("no_lookups")
def test_a_useless_draft_changes_nothing_and_is_hardly_asked(model: LoadedModel, stranger: LoadedModel) -> None:
    token_ids = prompt(30, 1)
    draft = Draft(stranger)
    run = DraftedRun(model, draft)
    run.insert([token_ids], 300)
    assert_same_end(run.steps(900), alone(model, token_ids, 300))
    counts = run.pace.counts
    assert 2 <= draft.num_drafted <= 30, "it is tried, and tried again, but seldom"
    assert counts.passes >= 290
    run.insert([prompt(30, 2)], 300)
    run.steps(900)
    assert draft.num_drafted <= 45, "what is known of it holds for the next request too"


@pytest.mark.usefixtures("no_lookups")
def test_a_draft_that_becomes_right_is_asked_again(model: LoadedModel, stranger: LoadedModel) -> None:
    draft = Draft(stranger)
    run = DraftedRun(model, draft)
    run.insert([prompt(30, 1)], 600)
    run.steps(200)
    before = run.pace.counts
    draft._model = model
    run.drafting._rows[0].cut(0)
    run.steps(900)
    after = run.pace.counts
    assert (after.tokens - before.tokens) / (after.passes - before.passes) > 2.0


@pytest.mark.parametrize("perfect", [True, False])
@pytest.mark.parametrize("looks_up", [True, False])
def test_rows_that_join_and_leave_say_what_each_says_alone(
    model: LoadedModel, stranger: LoadedModel, monkeypatch: pytest.MonkeyPatch, *, perfect: bool, looks_up: bool
) -> None:
    if not looks_up:
        monkeypatch.setattr(PromptLookup, "has_source", False)
    prompts = [prompt(12, 5) * 4, prompt(9, 3), prompt(40, 4), [7, 8] * 20]
    run = DraftedRun(model, Draft(model if perfect else stranger))
    run.insert(prompts[:2], 50)
    run.steps(7)
    run.insert(prompts[2:3], 90)
    run.steps(6)
    (gone,) = run.insert([prompt(50, 9)], 90)
    run.steps(9)
    run.generator.remove([gone])
    run.speculation.drop([gone])
    del run.said[gone]
    run.insert(prompts[3:], 70)
    for _ in range(300):
        run.steps(1)
        run.check_rows()
    plain = [alone(model, each, most) for each, most in zip(prompts, (50, 50, 90, 70), strict=True)]
    assert list(run.said.values()) == [each.all()[0] for each in plain]
    assert not run.drafting._rows
    assert run.speculation.kv_bytes == 0
    counts = run.pace.counts
    if perfect:
        assert counts.tokens_per_pass > 1.5
    if perfect and not looks_up:
        assert counts.accepted == counts.proposed, "no row's draft is another's, and none has read anything else"


@pytest.mark.usefixtures("no_lookups")
@pytest.mark.parametrize("perfect", [True, False])
def test_what_the_draft_model_holds_is_what_it_would_compute_of_the_rows_own_tokens(
    model: LoadedModel, stranger: LoadedModel, *, perfect: bool
) -> None:
    guessing = model if perfect else stranger
    draft = Draft(guessing)
    run = DraftedRun(model, draft)
    run.insert([prompt(40, 4), prompt(6, 5)], 120)
    checked = 0
    for _ in range(40):
        before = run.pace.counts.proposed
        run.steps(1)
        if run.pace.counts.proposed == before:
            continue
        for uid, known in zip(run.batch.uids, run.batch.tokens, strict=True):
            row = run.drafting._rows[uid]
            if row not in draft.asked:  # it is still being read
                continue
            assert row.num_read == len(known) - perfect, "all, but for a last one that came true unread"
            fresh = prefill(guessing, known[: row.num_read])
            for cache, other in zip(row.caches, fresh, strict=True):
                keys, values = cache.filled()
                assert mx.allclose(keys, other.keys[:, :, : row.num_read], atol=1e-4)
                assert mx.allclose(values, other.values[:, :, : row.num_read], atol=1e-4)
            checked += 1
    assert checked > 1


def test_rows_of_which_more_and_less_is_unread_are_drafted_for_as_each_is_alone(model: LoadedModel) -> None:
    draft = Draft(model)
    unread, lengths = [prompt(5, 1), prompt(2, 2), prompt(7, 3)], [1, 4, 3]
    together = [draft.new_row(9) for _ in unread]
    said = draft.draft(together, unread, lengths)
    assert [row.num_read for row in together] == [5, 5, 9]
    assert said == [
        draft.draft([draft.new_row(9)], [each], [num])[0] for each, num in zip(unread, lengths, strict=True)
    ]
    again = draft.draft(together, [[token_ids[-1], 3] for token_ids in said], [2, 2, 2])
    whole = [[*each, *token_ids, 3] for each, token_ids in zip(unread, said, strict=True)]
    assert again == [draft.draft([draft.new_row(9)], [each], [2])[0] for each in whole]


@pytest.mark.usefixtures("no_lookups")
def test_a_long_prompt_is_read_a_chunk_a_step_while_others_go_on(model: LoadedModel) -> None:
    run = DraftedRun(model, Draft(model))
    run.insert([prompt(100, 4)], 60)
    read = [0]
    while run.pace.counts.proposed == 0:
        said = len(run.said[0])
        run.steps(1)
        read.append(sum(row.num_read for row in run.drafting._rows.values()))
        assert not said or len(run.said[0]) >= said + 1, "a token a step at least"
        if run.pace.counts.proposed == 0:
            assert read[-1] - read[-2] <= CHUNK_TOKENS
    assert len(read) > 100 // CHUNK_TOKENS


@pytest.mark.usefixtures("no_lookups")
def test_sampled_answers_are_of_the_models_own_distribution(model: LoadedModel) -> None:
    """The first two tokens of many answers, with a draft that is sometimes right, and without one."""
    sampler = sampler_for(Sampling(temperature=0.7, top_k=3), VOCABULARY)
    drawn: list[Counter[tuple[int, ...]]] = []
    for drafts in (False, True):
        mx.random.seed(11)
        found: Counter[tuple[int, ...]] = Counter()
        for _ in range(8):
            run = DraftedRun(model, Draft(model)) if drafts else Run(model, speculates=False)
            run.insert([prompt(7, 3)] * 64, 4, sampler)
            found.update(tuple(said[:3]) for said in run.all())
        drawn.append(found)
        if isinstance(run, DraftedRun):
            assert 0 < run.pace.counts.accepted < run.pace.counts.proposed
    plain, drafted = drawn
    distance = sum(abs(plain[each] - drafted[each]) for each in plain | drafted) / (2 * plain.total())
    assert distance < 0.12


@pytest.mark.usefixtures("no_lookups")
@pytest.mark.parametrize("max_tokens", [1, 2, 3, 7])
def test_an_answer_is_never_longer_than_was_asked_for(model: LoadedModel, max_tokens: int) -> None:
    run = DraftedRun(model, Draft(model))
    run.insert([prompt(5, 2)], max_tokens)
    assert_same_end(run.steps(100), alone(model, prompt(5, 2), max_tokens))


@pytest.mark.usefixtures("no_lookups")
def test_nothing_is_drafted_beyond_the_draft_models_window(model: LoadedModel) -> None:
    draft = Draft(model)
    draft.window_tokens = 40
    run = DraftedRun(model, draft)
    run.insert([prompt(5, 2)], 100)
    for _ in range(200):
        run.steps(1)
        assert all(row.num_read <= 40 for row in run.drafting._rows.values())
    assert run.pace.counts.accepted > 0
    assert run.all() == alone(model, prompt(5, 2), 100).all()


@pytest.mark.usefixtures("no_lookups")
def test_a_draft_model_that_fails_ends_no_answer(model: LoadedModel, caplog: pytest.LogCaptureFixture) -> None:
    draft = Draft(model)
    run = DraftedRun(model, draft)
    run.insert([prompt(5, 2)], 60)
    run.steps(3)
    assert run.pace.counts.proposed > 0
    draft._model = replace(model, model=None)
    assert run.all() == alone(model, prompt(5, 2), 60).all()
    assert "the draft model failed" in caplog.text
    assert run.speculation.kv_bytes == 0

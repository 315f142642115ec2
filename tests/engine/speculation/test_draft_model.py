"""A draft model leaves the answers unchanged, and drafts only where that pays."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import mlx.core as mx
import pytest

from contracts.values.vocabulary import Sampling
from pensieve.core.drafts.prompt_lookup import PromptLookup
from pensieve.engine.decoding.samplers import sampler_for
from pensieve.engine.speculation import draft_policy
from pensieve.engine.speculation.draft_model import DraftModel, DraftRow
from pensieve.engine.speculation.draft_policy import DraftPolicy
from pensieve.engine.speculation.speculation import Speculation
from pensieve.models.loading.load import LoadedModel
from tests.engine.speculation.test_speculation import RowsRun, alone, assert_same_end
from tests.engine.support.counted_draft_model import CHUNK_TOKENS, CountedDraftModel, FixedCosts, FixedPace
from tests.engine.support.tiny_modules import VOCABULARY, prefill, prompt, tiny_module


class DraftedRun(RowsRun):
    def __init__(self, model: LoadedModel, draft: DraftModel, *, stop_tokens: tuple[int, ...] = ()) -> None:
        super().__init__(model, speculates=False, stop_tokens=stop_tokens)
        self.pace = FixedPace()
        self.policy = DraftPolicy(draft)
        self.speculation = self._decodes = Speculation(self.rows, self.pace, self.policy)

    def check_rows(self) -> None:
        """After each step the draft model holds no more of a row than the batch does."""
        for known in self.rows.rows:
            row = self.policy.rows.get(known.uid)
            if isinstance(row, DraftRow):
                assert all(cache.offset == row.num_prefilled for cache in row.caches)
                assert row.num_prefilled <= len(known.token_ids)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_module("llama")


@pytest.fixture(scope="module")
def stranger() -> LoadedModel:
    """Another model of the same shape, whose drafts are hardly ever accepted."""
    return tiny_module("llama", seed=7)


@pytest.fixture
def no_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PromptLookup, "has_source", False)


@pytest.mark.usefixtures("no_lookups")
@pytest.mark.parametrize("num_prompt_tokens", [1, 5, 100])
def test_a_perfect_draft_model_gives_the_same_answer_in_fewer_passes(
    model: LoadedModel, num_prompt_tokens: int
) -> None:
    token_ids = prompt(num_prompt_tokens, 1)
    run = DraftedRun(model, CountedDraftModel(model))
    run.insert([token_ids], 150)
    assert_same_end(run.steps(500), alone(model, token_ids, 150))
    counts = run.pace.counts
    assert counts.tokens == 150
    assert counts.proposed == counts.accepted > 100
    assert counts.tokens_per_pass > 3.0


@pytest.mark.usefixtures("no_lookups")
def test_plain_passes_are_timed_regularly_during_long_drafting(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft_policy, "VERIFICATIONS_BEFORE_REST", 10)

    class Timed(FixedCosts):
        widths: list[int] = []  # noqa: RUF012 - used by this test only

        def note(self, width: int, seconds: float) -> None:  # noqa: ARG002 - not measured
            self.widths.append(width)

    run = DraftedRun(model, CountedDraftModel(model))
    monkeypatch.setattr(run.pace, "costs", lambda _: Timed())
    run.insert([prompt(5, 2)], 3000)
    run.steps(45)
    assert 3 <= Timed.widths[10:].count(1) <= 9
    assert run.pace.counts.accepted > 500


@pytest.mark.usefixtures("no_lookups")
def test_a_useless_draft_model_changes_nothing_and_is_rarely_tried(model: LoadedModel, stranger: LoadedModel) -> None:
    token_ids = prompt(30, 1)
    draft = CountedDraftModel(stranger)
    run = DraftedRun(model, draft)
    run.insert([token_ids], 300)
    assert_same_end(run.steps(900), alone(model, token_ids, 300))
    counts = run.pace.counts
    assert 2 <= draft.num_drafted <= 30, "it is tried repeatedly, but rarely"
    assert counts.passes >= 290
    run.insert([prompt(30, 2)], 300)
    run.steps(900)
    assert draft.num_drafted <= 45, "its acceptance rate carries over to the next request"


@pytest.mark.usefixtures("no_lookups")
def test_a_draft_model_that_improves_is_used_again(model: LoadedModel, stranger: LoadedModel) -> None:
    draft = CountedDraftModel(stranger)
    run = DraftedRun(model, draft)
    run.insert([prompt(30, 1)], 600)
    run.steps(200)
    earlier = run.pace.counts
    draft.become(model)
    run.policy.rows[0].cut(0)
    run.steps(900)
    later = run.pace.counts
    assert (later.tokens - earlier.tokens) / (later.passes - earlier.passes) > 2.0


@pytest.mark.parametrize("perfect", [True, False])
@pytest.mark.parametrize("looks_up", [True, False])
def test_rows_that_join_and_leave_get_the_same_tokens_as_each_alone(
    model: LoadedModel, stranger: LoadedModel, monkeypatch: pytest.MonkeyPatch, *, perfect: bool, looks_up: bool
) -> None:
    if not looks_up:
        monkeypatch.setattr(PromptLookup, "has_source", False)
    prompts = [prompt(12, 5) * 4, prompt(9, 3), prompt(40, 4), [7, 8] * 20]
    run = DraftedRun(model, CountedDraftModel(model if perfect else stranger))
    run.insert(prompts[:2], 50)
    run.steps(7)
    run.insert(prompts[2:3], 90)
    run.steps(6)
    (removed,) = run.insert([prompt(50, 9)], 90)
    run.steps(9)
    run.rows.drop([removed])
    run.speculation.drop([removed])
    del run.tokens[removed]
    run.insert(prompts[3:], 70)
    for _ in range(300):
        run.steps(1)
        run.check_rows()
    plain = [alone(model, each, max_tokens) for each, max_tokens in zip(prompts, (50, 50, 90, 70), strict=True)]
    assert list(run.tokens.values()) == [each.finish()[0] for each in plain]
    assert not run.policy.rows
    assert run.speculation.kv_bytes == 0
    counts = run.pace.counts
    if perfect:
        assert counts.tokens_per_pass > 1.5
    if perfect and not looks_up:
        assert counts.accepted == counts.proposed, "no row gets another row's draft"


@pytest.mark.usefixtures("no_lookups")
@pytest.mark.parametrize("perfect", [True, False])
def test_the_draft_models_kv_is_that_of_the_rows_own_tokens(
    model: LoadedModel, stranger: LoadedModel, *, perfect: bool
) -> None:
    drafting = model if perfect else stranger
    draft = CountedDraftModel(drafting)
    run = DraftedRun(model, draft)
    run.insert([prompt(40, 4), prompt(6, 5)], 120)
    checked = 0
    for _ in range(40):
        before = run.pace.counts.proposed
        run.steps(1)
        if run.pace.counts.proposed == before:
            continue
        for uid, known in ((row.uid, row.token_ids) for row in run.rows.rows):
            row = run.policy.rows[uid]
            if row not in draft.last_rows:  # it is still being prefilled
                continue
            assert row.num_prefilled == len(known) - perfect, "all, except for an accepted last token"
            fresh = prefill(drafting, known[: row.num_prefilled])
            for cache, other in zip(row.caches, fresh, strict=True):
                keys, values = cache.filled()
                assert mx.allclose(keys, other.keys[:, :, : row.num_prefilled], atol=1e-4)
                assert mx.allclose(values, other.values[:, :, : row.num_prefilled], atol=1e-4)
            checked += 1
    assert checked > 1


def test_rows_with_different_pending_lengths_get_the_same_drafts_as_each_alone(model: LoadedModel) -> None:
    draft = CountedDraftModel(model)
    pending, lengths = [prompt(5, 1), prompt(2, 2), prompt(7, 3)], [1, 4, 3]
    together = [DraftRow(4, 9, 0.6) for _ in pending]
    drafted = draft.draft(together, pending, lengths)
    assert [row.num_prefilled for row in together] == [5, 5, 9]
    assert drafted == [
        draft.draft([DraftRow(4, 9, 0.6)], [each], [num])[0] for each, num in zip(pending, lengths, strict=True)
    ]
    again = draft.draft(together, [[token_ids[-1], 3] for token_ids in drafted], [2, 2, 2])
    whole = [[*each, *token_ids, 3] for each, token_ids in zip(pending, drafted, strict=True)]
    assert again == [draft.draft([DraftRow(4, 9, 0.6)], [each], [2])[0] for each in whole]


@pytest.mark.usefixtures("no_lookups")
def test_a_long_prompt_is_prefilled_a_chunk_a_step_without_stalling_the_answer(model: LoadedModel) -> None:
    run = DraftedRun(model, CountedDraftModel(model))
    run.insert([prompt(100, 4)], 60)
    prefilled = [0]
    while run.pace.counts.proposed == 0:
        num_tokens = len(run.tokens[0])
        run.steps(1)
        prefilled.append(sum(row.num_prefilled for row in run.policy.rows.values()))
        assert num_tokens < 2 or len(run.tokens[0]) > num_tokens, "at least one token a step"
        if run.pace.counts.proposed == 0:
            assert prefilled[-1] - prefilled[-2] <= CHUNK_TOKENS
    assert len(prefilled) > 100 // CHUNK_TOKENS


@pytest.mark.usefixtures("no_lookups")
def test_sampled_answers_follow_the_models_own_distribution(model: LoadedModel) -> None:
    """Compares the first tokens of many answers with and without a draft model that is sometimes right."""
    sampler = sampler_for(Sampling(temperature=0.7, top_k=3), VOCABULARY)
    drawn: list[Counter[tuple[int, ...]]] = []
    for drafts in (False, True):
        mx.random.seed(11)
        found: Counter[tuple[int, ...]] = Counter()
        for _ in range(8):
            run = DraftedRun(model, CountedDraftModel(model)) if drafts else RowsRun(model, speculates=False)
            run.insert([prompt(7, 3)] * 64, 4, sampler)
            found.update(tuple(tokens[:3]) for tokens in run.finish())
        drawn.append(found)
        if isinstance(run, DraftedRun):
            assert 0 < run.pace.counts.accepted < run.pace.counts.proposed
    plain, drafted = drawn
    distance = sum(abs(plain[each] - drafted[each]) for each in plain | drafted) / (2 * plain.total())
    assert distance < 0.12


@pytest.mark.usefixtures("no_lookups")
@pytest.mark.parametrize("max_tokens", [1, 2, 3, 7])
def test_an_answer_has_at_most_max_tokens(model: LoadedModel, max_tokens: int) -> None:
    run = DraftedRun(model, CountedDraftModel(model))
    run.insert([prompt(5, 2)], max_tokens)
    assert_same_end(run.steps(100), alone(model, prompt(5, 2), max_tokens))


@pytest.mark.usefixtures("no_lookups")
def test_drafts_stay_within_the_draft_models_window(model: LoadedModel) -> None:
    draft = CountedDraftModel(model)
    draft.window_tokens = 40
    run = DraftedRun(model, draft)
    run.insert([prompt(5, 2)], 100)
    for _ in range(200):
        run.steps(1)
        assert all(row.num_prefilled <= 40 for row in run.policy.rows.values())
    assert run.pace.counts.accepted > 0
    assert run.finish() == alone(model, prompt(5, 2), 100).finish()


@pytest.mark.usefixtures("no_lookups")
def test_a_failing_draft_model_does_not_end_answers(model: LoadedModel, caplog: pytest.LogCaptureFixture) -> None:
    draft = CountedDraftModel(model)
    run = DraftedRun(model, draft)
    run.insert([prompt(5, 2)], 60)
    run.steps(3)
    assert run.pace.counts.proposed > 0
    draft.become(replace(model, model=None))
    assert run.finish() == alone(model, prompt(5, 2), 60).finish()
    assert "drafting failed" in caplog.text
    assert run.speculation.kv_bytes == 0

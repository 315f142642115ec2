"""A model's own MTP head leaves the answers unchanged, and what it holds is in step with the tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlx.core as mx
import pytest

from contracts.values.vocabulary import Sampling
from pensieve.core.drafts.prompt_lookup import PromptLookup
from pensieve.engine.memory.layout import Layout, layout_of
from pensieve.engine.speculation.hidden_tap import HiddenTap
from pensieve.engine.speculation.mtp import MtpDrafter
from pensieve.engine.speculation.mtp_passes import HeadPasses
from pensieve.engine.speculation.mtp_row import MAX_PENDING, MtpRow
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.loading.load import LoadedModel, load
from pensieve.models.mtp.load import load_head, text_model
from tests.engine.batch.batch_run import BatchRun, alone
from tests.engine.speculation.mtp_models import HEAD_FILE, write_mtp_model
from tests.engine.speculation.test_speculation import Eager
from tests.engine.speculation.test_speculative_sampling import expected_chances, improbability
from tests.engine.support.tiny_modules import prefill, prompt

FAMILIES = ("qwen3_5", "glm4_moe", "deepseek_v3")
"""A hybrid with recurrent layers, one with plain attention, and one with latent attention."""
ANSWER = 30


class Drafted(BatchRun):
    """Any draft seems to pay, and nothing but the head drafts."""

    def __init__(self, model: LoadedModel, **options: Any) -> None:
        super().__init__(model, layout=_layout(model), **options)
        self.pace, self.drafter = Eager(), MtpDrafter(model)
        self.drafter.seconds = lambda *_: 0.01  # type: ignore[method-assign]
        self.batch.speculate(self.pace, self.drafter)


_LAYOUTS: dict[str, Layout] = {}


def _layout(model: LoadedModel) -> Layout:
    """Found once for each model, as it takes many passes."""
    kind = str(model.config["model_type"])
    return _LAYOUTS.get(kind) or _LAYOUTS.setdefault(kind, layout_of(model))


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest) -> LoadedModel:
    with TemporaryDirectory() as place:
        folder = write_mtp_model(Path(place), request.param, beside=True)
        loaded = load(ModelFolder(folder, "small", "small", "2026-01-01T00:00:00Z"))
        head = load_head(loaded.model, loaded.config, [folder / HEAD_FILE])
        assert head is not None
        mx.eval(head.parameters())
    return replace(loaded, mtp=head, eos_token_ids=frozenset())


@pytest.fixture(autouse=True)
def no_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PromptLookup, "has_source", False)


@pytest.fixture
def new_run(model: LoadedModel) -> Callable[..., Drafted]:
    return lambda other=None, **options: Drafted(other or model, **options)


def test_answers_are_those_of_plain_decoding_in_fewer_passes(
    model: LoadedModel, new_run: Callable[..., Drafted]
) -> None:
    """Alone, then beside others that join, whose prompts are prefilled in several chunks, and leave earlier."""
    prompts = [prompt(40, 5), prompt(70, 1), prompt(3, 2)]
    expected = [alone(model, token_ids, num) for token_ids, num in zip(prompts, (ANSWER, 12, 12), strict=True)]
    run = new_run(chunk_tokens=32)
    run.insert(prompts[0], ANSWER)
    while len(run.tokens[0]) < 8:
        run.step()
    for token_ids in prompts[1:]:
        run.insert(token_ids, 12)
    assert run.finish() == expected
    counts = run.pace.counts
    assert counts.accepted > 8
    assert counts.tokens_per_pass > 1.2


def test_after_a_cached_prompt_it_drafts_without_that_part(model: LoadedModel, new_run: Callable[..., Drafted]) -> None:
    token_ids = prompt(40, 5)
    run = new_run()
    run.insert(token_ids, ANSWER, cached=prefill(model, token_ids[:-1]))
    assert run.finish() == [alone(model, token_ids, ANSWER)]
    assert run.pace.counts.accepted > 5


def test_what_it_holds_is_what_it_computes_of_all_tokens_at_once(
    model: LoadedModel, new_run: Callable[..., Drafted]
) -> None:
    """After chunks, accepted and rejected drafts, and beside another row."""
    run = new_run(chunk_tokens=32)
    run.insert(prompt(40, 5), ANSWER)
    run.insert(prompt(9, 6), ANSWER)
    while run.pace.counts.accepted < 6 and not run.ended:
        run.step()
    assert run.pace.counts.accepted >= 6
    assert run.pace.counts.proposed > run.pace.counts.accepted
    for row in run.batch._decoding.rows:
        held = _arrays(row.mtp.cache, row.mtp.num_held)
        fresh = _computed_at_once(model, row.token_ids[: row.mtp.num_held + 1])
        assert row.mtp.num_prefilled + row.mtp.num_pending == len(row.token_ids)
        assert all(bool(mx.allclose(one, other, atol=2e-3)) for one, other in zip(held, fresh, strict=True))


def _computed_at_once(model: LoadedModel, token_ids: list[int]) -> list[mx.array]:
    drafter = MtpDrafter(model)
    model.model(mx.array([token_ids]))
    text = text_model(model.model)
    row = MtpRow(HeadPasses(text, model.mtp).new_cache(), 0, 0.5)
    hidden = HiddenTap.of(text).take()
    assert hidden is not None
    row.record(hidden[0])
    drafter.prefill(row, token_ids)
    return _arrays(row.cache, len(token_ids) - 1)


def _arrays(cache: Any, num_tokens: int) -> list[mx.array]:
    arrays = cache.arrays if hasattr(cache, "arrays") else (cache.keys, cache.values)
    return [array[:, :, :num_tokens] for array in arrays]


def test_a_failure_ends_no_answer(
    model: LoadedModel, new_run: Callable[..., Drafted], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> mx.array:
        raise RuntimeError("no memory")

    run = new_run()
    run.insert(prompt(40, 5), ANSWER)
    while not run.pace.counts.accepted:
        run.step()
    monkeypatch.setattr(HeadPasses, "run", fail)
    run.insert(prompt(12, 6), 10)
    assert run.finish() == [alone(model, prompt(40, 5), ANSWER), alone(model, prompt(12, 6), 10)]


def test_hidden_states_are_not_kept_without_bound() -> None:
    row = MtpRow(_Cache(), 3, 0.5)
    for _ in range(MAX_PENDING + 5):
        row.record(mx.zeros((1, 4)))
    assert row.num_pending == 5
    assert row.num_prefilled == 3 + MAX_PENDING


class _Cache:
    offset = nbytes = 0


@pytest.mark.parametrize("model", ["qwen3_5"], indirect=True)
def test_drafted_answers_follow_the_models_own_distribution(
    model: LoadedModel, new_run: Callable[..., Drafted], monkeypatch: pytest.MonkeyPatch
) -> None:
    num_draws, num_tokens, token_ids = 512, 3, [1, 2, 0, 3]
    few = _of_few_tokens(model, 4, monkeypatch)
    mx.random.seed(20)
    drawn: Counter[tuple[int, ...]] = Counter()
    run = new_run(few)
    for _ in range(num_draws // 64):
        uids = [run.insert(token_ids, num_tokens, temperature=1.0) for _ in range(64)]
        run.finish()
        drawn.update(tuple(run.tokens[uid]) for uid in uids)
    counts = run.pace.counts
    assert counts.accepted > 50
    assert counts.proposed - counts.accepted > 50
    chances = expected_chances(few, 4, token_ids, num_tokens, Sampling(temperature=1.0))
    assert improbability(drawn, chances, num_draws) < 3.5


def _of_few_tokens(model: LoadedModel, vocabulary: int, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    text = text_model(model.model)
    monkeypatch.setitem(text.model.embed_tokens, "weight", text.model.embed_tokens.weight[:vocabulary])
    monkeypatch.setitem(text.lm_head, "weight", text.lm_head.weight[:vocabulary] * 0.5)
    return replace(model, vocabulary_size=vocabulary)

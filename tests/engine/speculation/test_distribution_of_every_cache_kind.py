"""At temperature 1, speculated answers have the model's own distribution, whatever is undone after a rejected draft."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

import mlx.core as mx
import pytest

from contracts.values.vocabulary import Sampling
from pensieve.engine.kv.rows.layers.take_rows import let_layers_take_rows
from pensieve.engine.kv.snapshots import Snapshot
from pensieve.engine.memory.layout import layout_of
from pensieve.models.loading.load import LoadedModel
from tests.dialects.matrix.sizes import VOCABULARY
from tests.engine.batch.batch_run import BatchRun
from tests.engine.kv.models import small
from tests.engine.speculation.test_speculation import Eager
from tests.engine.speculation.test_speculative_sampling import every_triple_of, expected_chances, improbability
from tests.engine.support.tiny_modules import prefill

NUM_TOKENS: Final = 5
"""With fewer, nothing is sampled after a rejected draft has been undone."""
NUM_KINDS: Final = 3
"""Of tokens: a vocabulary of that many."""
NUM_DRAWS: Final = 384


def of_few_tokens(model: LoadedModel) -> LoadedModel:
    for _, module in model.model.named_modules():
        if "weight" in module and module.weight.shape[0] == VOCABULARY:
            module.weight = module.weight[:NUM_KINDS]
    return replace(model, vocabulary_size=NUM_KINDS, eos_token_ids=frozenset())


@pytest.mark.parametrize("model_type", ["qwen3_5", "gpt_oss", "deepseek_v3", "mamba2"])
def test_speculated_answers_follow_the_models_own_distribution(model_type: str) -> None:
    model, token_ids = small(model_type), every_triple_of(NUM_KINDS)
    let_layers_take_rows(model.model)
    layout = layout_of(model)
    model = of_few_tokens(model)
    chances = expected_chances(model, NUM_KINDS, token_ids, NUM_TOKENS, Sampling(temperature=1.0))
    run, pace = BatchRun(model, layout=layout), Eager()
    run.batch.speculate(pace)
    held = Snapshot.of(prefill(model, token_ids[:-1]))
    mx.random.seed(20)
    drawn: Counter[tuple[int, ...]] = Counter()
    while drawn.total() < NUM_DRAWS:
        uids = [
            run.insert(token_ids, NUM_TOKENS, temperature=1.0, cached=held.caches()) for _ in range(run.batch.max_size)
        ]
        run.finish()
        drawn.update(tuple(run.tokens[uid]) for uid in uids)
    assert pace.counts.accepted > NUM_DRAWS / 10
    assert pace.counts.proposed - pace.counts.accepted > NUM_DRAWS / 10
    assert improbability(drawn, chances, NUM_DRAWS) < 3.5

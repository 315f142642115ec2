"""A mutant drops each type of block that the SDK knows, so that the suite is known to notice."""

from __future__ import annotations

import pytest
from anthropic.types import ContentBlockParam
from anthropic.types.beta import BetaContentBlockParam

from tests.mutants.catalogue import MUTANTS
from tests.mutants.faults.blocks import Drops
from tests.support.sdk_blocks import block_types

_MAY_BE_DROPPED = {
    "fallback": "is not part of a prompt: the SDK's BetaFallbackBlockParam",
    "thinking": 'of earlier turns may be dropped: Anthropic\'s documentation, "Extended thinking"',
    "redacted_thinking": "as thinking",
}


@pytest.mark.parametrize("union", [ContentBlockParam, BetaContentBlockParam], ids=["stable", "beta"])
def test_a_mutant_drops_each_type_of_block(union: object) -> None:
    dropped = {kind for mutant in MUTANTS if isinstance(mutant.calls, Drops) for kind in mutant.calls.kinds}
    assert block_types(union) - dropped == _MAY_BE_DROPPED.keys() & block_types(union)

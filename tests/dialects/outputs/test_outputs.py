"""The text that each family's models write becomes the right blocks, fed token by token and at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tokenizers import Tokenizer

from tests.dialects.outputs.cases import TOOLS, Case, cases_of
from tests.dialects.outputs.reading import blocks_of, blocks_of_whole
from tests.dialects.outputs.table import ONE_CALL, TWO_CALLS, Output, outputs
from tests.dialects.real.families import Family, family
from tests.dialects.real.tokenizers import tokenizer_of

ALL = [pytest.param(output, id=output.name) for output in outputs()]
CASES = [
    pytest.param(output.name, case, id=f"{output.name}: {case.name}")
    for output in outputs()
    for case in cases_of(output)
]
ASSUMED = [
    pytest.param(output, id=output.name)
    for output in outputs()
    if family(output.name).flags == "assumed" and family(output.name).special is not None
]


def token_ids(family: Family, case: Case) -> list[int]:
    """The tokens that a model would generate, up to the one that ends its turn."""
    tokenizer = tokenizer_of(family)
    if case.spelled:
        before, _, after = case.raw.partition(f"{case.spelled} after")
        ids = [*_ids(tokenizer, before), *_spelled(tokenizer, case.spelled), *_ids(tokenizer, f"x after{after}")[1:]]
    else:
        ids = _ids(tokenizer, case.raw)
    ends = [index for index, token_id in enumerate(ids) if tokenizer.id_to_token(token_id) in family.eos]
    return ids[: min(ends, default=len(ids))]


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def _spelled(tokenizer: Tokenizer, mark: str) -> list[int]:
    """The tokens of the single characters."""
    found = [(character, tokenizer.token_to_id(character)) for character in mark]
    return [each for character, one in found for each in ([one] if one is not None else _ids(tokenizer, character))]


def test_more_than_thirty_families_are_in_the_table() -> None:
    assert len(outputs()) >= 30


@pytest.mark.parametrize("output", ALL)
def test_the_parts_of_a_call_add_up_to_its_documented_text(output: Output) -> None:
    assert output.calls(*ONE_CALL) == output.one_call
    if output.two_calls:
        assert output.calls(*TWO_CALLS) == output.two_calls


@pytest.mark.parametrize(("name", "case"), CASES)
def test_an_answer_becomes_its_blocks(name: str, case: Case) -> None:
    ids = token_ids(family(name), case)
    by_token = blocks_of(family(name), ids, TOOLS, opens_thinking=case.opens_thinking, streams_calls=False)
    whole = blocks_of_whole(family(name), ids, TOOLS, opens_thinking=case.opens_thinking)
    assert by_token == whole
    if case.expected is None:
        assert not [block for block in by_token if block[0] == "call"]
    else:
        assert by_token == case.expected
        streamed = blocks_of(family(name), ids, TOOLS, opens_thinking=case.opens_thinking, streams_calls=True)
        assert streamed == case.expected


@pytest.mark.parametrize("output", ASSUMED)
def test_calls_are_parsed_with_either_flag_of_their_marks(output: Output) -> None:
    """Where a family's flags are an assumption, the opposite flags give the same calls."""
    assumed = family(output.name)
    assert assumed.special is not None
    ends = {*assumed.eos, assumed.bos or ""}
    opposite = replace(
        assumed,
        special=tuple(mark for mark in (*assumed.plain, *assumed.special) if mark in ends or mark in assumed.plain),
        plain=tuple(mark for mark in assumed.special if mark not in ends),
    )
    case = Case("one call", output.one_call, None)
    ids = token_ids(opposite, case)
    expected = [("call", (call.name, call.arguments)) for call in ONE_CALL]
    assert blocks_of(opposite, ids, TOOLS, opens_thinking=False, streams_calls=False) == expected

"""What only endless values satisfy is found in one look at each reference, in whichever order definitions refer."""

from __future__ import annotations

from typing import Any

import pytest

from pensieve.core.schemas.finite import without_endless_parts
from pensieve.core.schemas.plain import PlainSchema

LENGTH = 50


class Reference(dict[str, Any]):
    """Counts how often references are followed."""

    num_followed = 0

    def __getitem__(self, key: str) -> Any:
        Reference.num_followed += key == "$ref"
        return super().__getitem__(key)


def chain(*, ends: bool) -> dict[str, Any]:
    """Each definition refers to the next one; the last one is a text, or refers to the first one."""
    definitions: dict[str, Any] = {f"d{at}": Reference({"$ref": f"#/$defs/d{at + 1}"}) for at in range(LENGTH)}
    return {**definitions, f"d{LENGTH}": {"type": "string"} if ends else Reference({"$ref": "#/$defs/d0"})}


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_each_reference_of_a_chain_is_followed_a_few_times(*, ends: bool, turned: bool) -> None:
    definitions = chain(ends=ends)
    if turned:
        definitions = dict(reversed(definitions.items()))
    plain = PlainSchema({"type": "object"}, definitions, {name: ("$defs", name) for name in definitions})
    Reference.num_followed = 0
    without_endless_parts(plain)
    assert Reference.num_followed <= 4 * LENGTH
    assert (len(plain.contradictions) == 0) is ends


def test_a_part_within_which_another_is_the_cause_is_not_noted() -> None:
    plain = PlainSchema({})
    for path in (("a", "b"), ("a",), (), ("a", "c"), ("a", "b")):
        plain.contradict(path, "")
    assert [each.path for each in plain.contradictions] == [("a", "b"), ("a", "c")]

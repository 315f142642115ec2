"""What a grammar can enforce of a schema: everything but single keywords, each of them named.

`problem` gives the reason why a schema cannot be compiled to a grammar, or "". Single parts are only tried if the whole
has a problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pensieve.core.schemas.exclusive import as_any_of, with_any_of, with_proven_choices
from pensieve.core.schemas.finite import without_endless_parts
from pensieve.core.schemas.gap import Gap
from pensieve.core.schemas.plain import PlainSchema, plain_schema
from pensieve.core.schemas.subschemas import Path, mapped, possible

Problem = Callable[[Any], str]

UNSATISFIABLE: Final = "Unsatisfiable schema: "
"""How a problem begins if no value satisfies the schema."""
MAX_TRIALS: Final = 400
"""The parts that are tried: one takes about a millisecond."""
_TOO_LARGE: Final = "too large to find out which of its keywords cannot be enforced"
_HARMLESS: Final = frozenset({"type", "properties", "items", "additionalProperties", "$ref"})
"""A schema that has only these has no problem of its own."""
_SUSPECTS: Final = (
    *("pattern", "format", "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "patternProperties"),
    *("oneOf", "allOf", "anyOf", "$ref", "prefixItems", "items", "additionalProperties", "required", "properties"),
    *("enum", "const", "type"),
)
"""The keywords that may be the problem, the most probable first."""
_PAIRS: Final = (("minProperties", "maxProperties"), ("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum"))
"""Keywords that may have one problem together."""
_TRIALS: Final = (*((each,) for each in _SUSPECTS[:13]), *_PAIRS, *((each,) for each in _SUSPECTS[13:]))


@dataclass(frozen=True, slots=True)
class Enforceable:
    schema: Any
    """It compiles. If there is a contradiction, it allows everything."""
    gaps: tuple[Gap, ...] = ()
    contradiction: Gap | None = None
    """Why no value satisfies the schema, and which part of it says so."""


def enforceable(schema: Any, problem: Problem) -> Enforceable:
    try:
        return _enforceable(plain_schema(schema), problem)
    except RecursionError:
        gap = Gap((), "", "it nests too deeply")
        return Enforceable({}, (gap,))


def _enforceable(plain: PlainSchema, problem: Problem) -> Enforceable:
    without_endless_parts(plain)
    with_proven_choices(plain)
    if problem(plain.with_definitions(plain.body)):
        _Repair(plain, problem).run()
    if plain.body is False:
        reasons = plain.contradictions or [Gap((), "", "the schema is false")]
        return Enforceable({}, tuple(plain.gaps), reasons[-1])
    with_any_of(plain)
    return Enforceable(plain.with_definitions(plain.body), tuple(plain.gaps))


class _Repair:
    """Takes from each part the keywords that keep it from compiling, the innermost parts first."""

    def __init__(self, plain: PlainSchema, problem: Problem) -> None:
        self._plain = plain
        self._problem = problem
        self._num_trials = 0

    def run(self) -> None:
        plain, definitions = self._plain, dict(self._plain.definitions)
        plain.definitions = dict.fromkeys(definitions, True)  # until each is known to compile
        for name, definition in reversed(definitions.items()):
            plain.definitions[name] = self._part(definition, plain.places[name])
        plain.body = self._part(plain.body, ())
        if self._num_trials > MAX_TRIALS or self._try(plain.body):
            plain.body = self._alone(plain.body, ())
        if plain.body is not False and self._problem(plain.with_definitions(plain.body)):
            plain.gaps.append(Gap((), "", _TOO_LARGE))
            plain.body, plain.definitions = {}, {}

    def _part(self, schema: Any, path: Path) -> Any:
        if isinstance(schema, bool):
            return schema
        schema = possible(mapped(schema, lambda part, below: self._part(part, (*path, *below))))
        return schema if schema is False or schema.keys() <= _HARMLESS else self._alone(schema, path)

    def _alone(self, schema: Any, path: Path) -> Any:
        """The part without the keywords that are its problem, when its own parts have none."""
        trouble = self._try(schema)
        if trouble and not _is_contradiction(trouble):
            schema, trouble = self._without_suspects(schema, path, trouble)
        if _is_contradiction(trouble):
            self._plain.contradict(path, trouble.removeprefix(UNSATISFIABLE))
            return False
        return schema

    def _without_suspects(self, schema: dict[str, Any], path: Path, trouble: str) -> tuple[dict[str, Any], str]:
        """The part without what is wrong with it, and the contradiction that then remains, or ""."""
        for suspects in _TRIALS:
            if schema.keys() >= set(suspects):
                left = self._try(_without(schema, suspects))
                if not left or _is_contradiction(left):
                    self._name(path, suspects, trouble)
                    return _without(schema, suspects), left
        for suspect in _SUSPECTS:
            if suspect in schema and trouble and not _is_contradiction(trouble):
                self._name(path, (suspect,), trouble)
                schema = _without(schema, (suspect,))
                trouble = self._try(schema)
        return schema, trouble

    def _name(self, path: Path, keywords: Iterable[str], reason: str) -> None:
        self._plain.gaps += [Gap(path, keyword, reason) for keyword in keywords]

    def _try(self, schema: Any) -> str:
        self._num_trials += 1
        if self._num_trials > MAX_TRIALS:
            return ""
        return self._problem(self._plain.with_definitions(schema))


def _is_contradiction(trouble: str) -> bool:
    return trouble.startswith(UNSATISFIABLE)


def _without(schema: Mapping[str, Any], keywords: Iterable[str]) -> dict[str, Any]:
    """The schema without these keywords, or with what remains of them."""
    left = {key: part for key, part in schema.items() if key not in keywords}
    if "oneOf" in keywords:
        return as_any_of(schema)
    others = schema.get("additionalProperties", True)
    if "patternProperties" in keywords and others not in (True, {}):  # names are free, but values keep their schemas
        left["additionalProperties"] = {"anyOf": [*schema["patternProperties"].values(), others]}
    return left

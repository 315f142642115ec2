"""A schema of any draft in one plain form: only keywords that a grammar can enforce, and references only to `$defs`.

Whatever constrains but cannot be enforced becomes a gap. Annotations leave without one. Other documents are never
fetched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

from referencing import Registry
from referencing.exceptions import NoSuchAnchor, PointerToNowhere, Unresolvable
from referencing.jsonschema import DRAFT3, DRAFT202012, UnknownDialect, specification_with

from pensieve.core.schemas.combinations import MAX_MULTIPLE, size_of_multiple
from pensieve.core.schemas.gap import Gap
from pensieve.core.schemas.keywords import ENFORCED, FORMATS, LISTS, MAPS, NOT_ENFORCED, OTHER_FORMATS, SINGLE
from pensieve.core.schemas.modern import modern
from pensieve.core.schemas.subschemas import Path

_OF_DRAFT_3: Final = ("divisibleBy", "extends", "disallow")
_FORMS: Final[Mapping[str, tuple[type, ...]]] = {
    **dict.fromkeys(MAPS, (dict,)),
    **dict.fromkeys(LISTS, (list,)),
    **dict.fromkeys(SINGLE, (dict, bool)),
    **dict.fromkeys(("required", "enum"), (list,)),
    **dict.fromkeys(("pattern", "format", "$ref"), (str,)),
    "type": (str, list),
}
"""The form that draft 2020-12 gives a keyword."""
_OTHERS: Final = ("additionalProperties",)
_MAX_OPTIONAL: Final = 2000
MAX_NAMED: Final = 5000
"""Properties of an object: llguidance 1.9 takes 0.2 s for 4,000 and 2.4 s for 16,000."""
MAX_INNER_VALUES: Final = 10_000
"""In lists and objects of a schema's const and enum. llguidance 1.9 compares each with all others: an object of 8,000
takes 0.6 s, one of 16,000 takes 9 s, and a list of 65,000 takes over 10.
"""
MAX_PATTERNS: Final = 128
"""Of a schema's patternProperties: llguidance 1.9 takes 0.2 s for as many as these, and 2.4 s for twice as many."""
MAX_PATTERN_CHARACTERS: Final = 16_000
"""Of all patterns of a schema's patternProperties: each is compared with every other. 128 with 1,000 each take 6 s."""
MAX_MULTIPLES: Final = 100_000
"""Of all a schema's multiples together, which llguidance 1.9 compiles within a second."""


@dataclass(slots=True)
class PlainSchema:
    body: Any
    definitions: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Path] = field(default_factory=dict)
    """Where each definition stands in the original schema."""
    gaps: list[Gap] = field(default_factory=list)
    contradictions: list[Gap] = field(default_factory=list)
    """Parts that no value satisfies, the innermost first. They are `false` in the body and the definitions."""
    _around: set[Path] = field(default_factory=set, init=False)
    """The paths of those parts, and of all that they are in."""

    def with_definitions(self, body: Any) -> Any:
        """`body` as a schema of its own."""
        return {**body, "$defs": self.definitions} if self.definitions and isinstance(body, dict) else body

    def contradict(self, path: Path, reason: str) -> None:
        """Note a part that no value satisfies, unless one inside it is the cause."""
        if path not in self._around:
            self.contradictions.append(Gap(path, "", reason))
            self._around.update(path[:length] for length in range(len(path) + 1))


def plain_schema(schema: Any) -> PlainSchema:
    reader = _Reader(schema)
    reader.found.body = reader.plain(schema, (), reader.resolver)
    while reader.pending:
        name, contents, resolver = reader.pending.pop()
        reader.found.definitions[name] = reader.plain(contents, reader.found.places[name], resolver)
    return reader.found


def _resolver(root: Any) -> Any:
    """Identifiers and anchors are collected once: each reference to one would search the whole schema for it."""
    uri = root.id() or ""
    registry = Registry().with_resource(uri, root)
    with suppress(LookupError, TypeError, ValueError, AttributeError):  # what is malformed fails where it is looked up
        registry = registry.crawl()
    return registry.resolver(base_uri=uri)


class _Reader:
    def __init__(self, root: Any) -> None:
        dialect = root.get("$schema") if isinstance(root, dict) else None
        try:
            self._draft = specification_with(str(dialect or ""), default=DRAFT202012)
        except UnknownDialect:
            self._draft = DRAFT202012
        self.found = PlainSchema({})
        self.pending: list[tuple[str, Any, Any]] = []
        self.resolver = _resolver(self._draft.create_resource(root))
        self._names: dict[int, str] = {}
        self._num_patterns = self._pattern_characters = self._multiples = self._num_inner = 0

    def plain(self, schema: Any, path: Path, resolver: Any) -> Any:
        if not isinstance(schema, dict):
            return schema if isinstance(schema, bool) else True
        if path:
            resolver = resolver.in_subresource(self._draft.create_resource(schema))
        if self._draft is not DRAFT3:
            schema = {key: part for key, part in schema.items() if key not in _OF_DRAFT_3}
        plain: dict[str, Any] = {}
        for keyword, part in modern(schema).items():
            if keyword == "not" and part in (True, {}):
                return self._never(path, "everything is excluded by not")
            if keyword in ENFORCED:
                plain |= self._enforced(keyword, part, path, resolver)
            elif keyword in NOT_ENFORCED:
                self._gap(path, keyword, NOT_ENFORCED[keyword])
        contradiction = _contradiction(plain)
        return self._never(path, contradiction) if contradiction else self._within_limits(plain, path)

    def _never(self, path: Path, reason: str) -> bool:
        self.found.contradict(path, reason)
        return False

    def _enforced(self, keyword: str, part: Any, path: Path, resolver: Any) -> dict[str, Any]:
        """The keyword as it enters the plain schema; nothing if it does not."""
        if not _has_form(keyword, part):
            self._gap(path, keyword, "it has another form than in draft 2020-12")
            return {}
        if keyword == "format":
            if part in OTHER_FORMATS:
                self._gap(path, keyword, f"the format {part} is not supported")
            return {keyword: part} if part in FORMATS else {}
        if keyword == "$ref":
            return self._reference(part, path, resolver)
        if keyword in MAPS:
            return {keyword: {name: self.plain(each, (*path, keyword, name), resolver) for name, each in part.items()}}
        if keyword in LISTS:
            parts = list(enumerate(part))
            return {keyword: [self.plain(each, (*path, keyword, str(number)), resolver) for number, each in parts]}
        return {keyword: self.plain(part, (*path, keyword), resolver) if keyword in SINGLE else part}

    def _reference(self, reference: str, path: Path, resolver: Any) -> dict[str, Any]:
        try:
            target = resolver.lookup(reference)
        except (PointerToNowhere, NoSuchAnchor):
            self._gap(path, "$ref", f"{reference!r} points to nothing in the schema", dangling=True)
            return {}
        except (Unresolvable, LookupError, TypeError, ValueError):
            self._gap(path, "$ref", f"{reference!r} is another document, which is not fetched: copy it into $defs")
            return {}
        if isinstance(target.contents, bool):
            return {} if target.contents else {"allOf": [False]}
        name = self._names.get(id(target.contents))
        if name is None:
            place = tuple(part for part in reference.partition("#")[2].split("/") if part) or (reference,)
            name = self._new_name(place[-1])
            self._names[id(target.contents)] = name
            self.found.places[name] = () if reference == "#" else place
            self.pending.append((name, target.contents, target.resolver))
        return {"$ref": f"#/$defs/{name}"}

    def _new_name(self, wanted: str) -> str:
        """A name that needs no escaping in a pointer."""
        name = "".join(each if each.isascii() and each.isalnum() else "_" for each in wanted)
        taken = self.found.places
        return name if name not in taken else f"{name}_{len(taken)}"

    def _within_limits(self, plain: dict[str, Any], path: Path) -> dict[str, Any]:
        """Without what would take too long to compile."""
        for keyword, reason, along in self._excesses(plain):
            self._gap(path, keyword, reason)
            plain = {key: part for key, part in plain.items() if key not in (keyword, *along)}
        return plain

    def _excesses(self, plain: Mapping[str, Any]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Each keyword that exceeds a limit, the reason, and the keywords that leave with it."""
        if "patternProperties" in plain:
            self._num_patterns += len(plain["patternProperties"])
            self._pattern_characters += sum(map(len, plain["patternProperties"]))
            if self._num_patterns > MAX_PATTERNS:
                yield "patternProperties", f"the schema has more than {MAX_PATTERNS} of them", _OTHERS
            elif self._pattern_characters > MAX_PATTERN_CHARACTERS:
                reason = f"the schema's have more than {MAX_PATTERN_CHARACTERS} characters together"
                yield "patternProperties", reason, _OTHERS
        if "multipleOf" in plain:
            size = size_of_multiple(plain["multipleOf"])
            self._multiples += size
            if size > MAX_MULTIPLE:
                yield "multipleOf", f"it is above {MAX_MULTIPLE}, without its decimal point", ()
            elif self._multiples > MAX_MULTIPLES:
                yield "multipleOf", f"the schema's multiples add up to more than {MAX_MULTIPLES}", ()
        for keyword, values in (("const", [plain.get("const")]), ("enum", plain.get("enum", []))):
            num_inner = sum(map(_num_inner, values))
            self._num_inner += num_inner
            if num_inner and self._num_inner > MAX_INNER_VALUES:
                reason = f"the schema's constants have more than {MAX_INNER_VALUES} values in their lists and objects"
                yield keyword, reason, ()
        yield from _excess_of_names(plain)

    def _gap(self, path: Path, keyword: str, reason: str, *, dangling: bool = False) -> None:
        self.found.gaps.append(Gap(path, keyword, reason, dangling))


def _excess_of_names(plain: Mapping[str, Any]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    required, named = set(map(str, plain.get("required", ()))), plain.get("properties", {}).keys()
    if len(required | named) > MAX_NAMED:
        keyword = "properties" if named else "required"
        yield keyword, f"more than {MAX_NAMED} are named", ("properties", "required", *_OTHERS)
    elif len(named - required) > _MAX_OPTIONAL:
        yield "properties", f"more than {_MAX_OPTIONAL} of them are optional", _OTHERS


def _num_inner(value: Any) -> int:
    """The number of values in its lists and objects."""
    number, waiting = -1, [value]
    while waiting:
        part = waiting.pop()
        number += 1
        waiting += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return number


def _has_form(keyword: str, part: Any) -> bool:
    if keyword == "type" and isinstance(part, list):
        return all(isinstance(each, str) for each in part)
    if keyword == "multipleOf":
        return is_multiple(part)
    return isinstance(part, _FORMS.get(keyword, object))


def is_multiple(value: object) -> TypeGuard[float]:
    """An integer may be too large for a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


def _contradiction(plain: Mapping[str, Any]) -> str:
    """Why no value satisfies the schema, if one look shows it. Only a type that is known makes bounds binding."""
    if plain.get("enum") == []:
        return "its enum is empty"
    for kind, low, high in _RANGES:
        if plain.get("type") in kind and low in plain and high in plain and plain[low] > plain[high]:
            return f"{low} ({plain[low]}) is greater than {high} ({plain[high]})"
    return ""


_RANGES: Final = (
    (("integer", "number"), "minimum", "maximum"),
    (("string",), "minLength", "maxLength"),
    (("array",), "minItems", "maxItems"),
    (("object",), "minProperties", "maxProperties"),
)

"""Schemas as grammars: from the check of the schema to the masks of an answer's first tokens."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role
from pensieve.api.http.schemas.json_schemas import require_schema
from pensieve.core.errors import ValidationError
from pensieve.engine.decoding.grammar_mask import GrammarMask, Grammars
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.load import LoadedModel, load
from tests.fuzz.growth.search import FAILED, OK, REFUSED, Cost, Measure, isolated
from tests.support.tiny_model import write_tiny_model

Schema = dict[str, Any]
NUM_TOKENS: Final = 24
_TEXT: Final = {"type": "string"}
_FORMATS: Final = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid")


def _each(number: int, part: Callable[[int], object]) -> Schema:
    return {"type": "object", "properties": {f"p{at}": part(at) for at in range(number)}}


def _required(number: int, part: Callable[[int], object]) -> Schema:
    return {**_each(number, part), "required": [f"p{at}" for at in range(number)], "additionalProperties": False}


def _pattern(pattern: str, **beside: object) -> Schema:
    return {"type": "string", "pattern": pattern, **beside}


def _list_of(keyword: str, part: Callable[[int], object]) -> Callable[[int], Schema]:
    return lambda n: {keyword: [part(at) for at in range(n)]}


def _chain(number: int, link: Callable[[Schema], Schema]) -> Schema:
    definitions = {f"d{at}": link({"$ref": f"#/$defs/d{at + 1}"}) for at in range(number)}
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{number}": _TEXT}}


def _circles(number: int) -> Schema:
    """Definitions that each refer to eight others."""
    others = [[{"$ref": f"#/$defs/d{(at + more) % number}"} for more in range(8)] for at in range(number)]
    links = {f"d{at}": {"anyOf": [{"type": "null"}, *({"items": each} for each in others[at])]} for at in range(number)}
    return {"$ref": "#/$defs/d0", "$defs": links}


SCHEMAS: Final[Mapping[str, Callable[[int], object]]] = {
    "references": lambda n: _chain(n, lambda link: _required(1, lambda _: link)),
    "references in two properties": lambda n: _chain(n, lambda link: _required(2, lambda _: link)),
    "circles of references": _circles,
    "anyOf arrays": _list_of("anyOf", lambda at: {"type": "array", "items": {"items": {"const": at}}}),
    "anyOf objects": _list_of("anyOf", lambda at: _required(2, lambda part: {"const": at} if part else _TEXT)),
    "anyOf patterns": _list_of("anyOf", lambda at: _pattern(f"^[a-z]*{at}$")),
    "anyOf ranges": _list_of("anyOf", lambda at: {"type": "integer", "minimum": at * 1000, "maximum": at * 1000 + 500}),
    "oneOf constants": _list_of("oneOf", lambda at: _required(2, lambda part: _TEXT if part else {"const": at})),
    "oneOf patterns": _list_of("oneOf", lambda at: _pattern(f"^[a-z]*{at}$")),
    "allOf objects": _list_of("allOf", lambda at: {"type": "object", "properties": {f"p{at}": _TEXT}}),
    "allOf patterns": _list_of("allOf", lambda at: _pattern(f"a{at}")),
    "allOf lengths": _list_of("allOf", lambda at: {"type": "string", "minLength": at}),
    "allOf multiples": _list_of("allOf", lambda at: {"type": "integer", "multipleOf": at + 2}),
    "length of a pattern": lambda n: _pattern("^" + "abc" * n + "$"),
    "alternatives in a pattern": lambda n: _pattern("^(" + "|".join(f"w{at}x" for at in range(n)) + ")$"),
    "choices in a pattern": lambda n: _pattern("(a|b)*a" + "(a|b)" * n),
    "repetitions in a pattern": lambda n: _pattern(f"^((a|b?){{{n}}}c){{{n}}}$"),
    "letters in a pattern": lambda n: _pattern("^" + "\\p{L}" * n + "$"),
    "any text in a pattern": lambda n: _pattern(".*a" * n),
    "a pattern and minLength": lambda n: _pattern("^a*$", minLength=n),
    "one way of a pattern": lambda n: _pattern(f"^x(ab){{{n}}}$"),
    "a gap in a pattern": lambda n: _pattern(f"a.{{{n}}}b"),
    "a pattern and maxLength": lambda n: _pattern("[a-z]+[0-9]+", maxLength=n),
    "minLength": lambda n: {"type": "string", "minLength": n},
    "maxLength": lambda n: {"type": "string", "maxLength": n},
    "maxLength of each": lambda n: _required(n, lambda at: {"type": "string", "maxLength": 1000 + at}),
    "a format and minLength": lambda n: {"type": "string", "format": "email", "minLength": n},
    "formats": lambda n: _required(n, lambda at: {"type": "string", "format": _FORMATS[at % 10]}),
    "minItems": lambda n: {"type": "array", "items": _TEXT, "minItems": n},
    "minItems of one value": lambda n: {"type": "array", "items": {"type": "null"}, "minItems": n},
    "maxItems": lambda n: {"type": "array", "items": _required(2, lambda _: _TEXT), "maxItems": n},
    "maxItems within maxItems": lambda n: {"type": "array", "items": {"type": "array", "maxItems": n}, "maxItems": n},
    "prefixItems": _list_of("prefixItems", lambda at: {"const": at}),
    "long texts of an enum": _list_of("enum", lambda at: f"{at:05} " + "a" * 100),
    "a long text of an enum": lambda n: {"enum": ["a" * n, "b"]},
    "numbers of an enum": lambda n: {"enum": [at / 7 for at in range(n)]},
    "objects of an enum": _list_of("enum", lambda at: {"a": at, "b": [str(at)]}),
    "Chinese texts of an enum": _list_of("enum", lambda at: chr(0x4E00 + at % 20_000) * 5 + str(at)),
    "a constant object": lambda n: {"const": {f"p{at}": at for at in range(n)}},
    "a constant list": lambda n: {"const": list(range(n))},
    "a multiple": lambda n: {"type": "integer", "multipleOf": n + 1},
    "a multiple in a range": lambda n: {"type": "integer", "multipleOf": n + 1, "minimum": -n, "maximum": n * 1000},
    "a multiple with a point": lambda n: {"type": "number", "multipleOf": (n + 1) / 1000},
    "multiples": lambda n: _required(n, lambda at: {"type": "integer", "multipleOf": at + 2}),
    "ranges": lambda n: _required(n, lambda at: {"type": "number", "minimum": at / 3, "maximum": at * 7.777 + 10}),
    "patterns of keys": lambda n: {"type": "object", "patternProperties": {f"^p{at}_": _TEXT for at in range(n)}},
    "long patterns of keys": lambda n: {"patternProperties": {f"^p{at}_" + "a" * n: _TEXT for at in range(100)}},
    "optional parts of a key": lambda n: {"type": "object", "patternProperties": {"^" + "[a-c]?" * n + "x": _TEXT}},
    "conditions": _list_of("allOf", lambda at: {"if": {"const": at}, "then": {"minimum": at}}),
    "dependent schemas": lambda n: {
        "type": "object",
        "dependentSchemas": {f"p{at}": _each(1, lambda _: _TEXT) for at in range(n)},
    },
    "names in an enum": lambda n: {"type": "object", "propertyNames": {"enum": [f"p{at}" for at in range(n)]}},
    "names with a pattern": lambda n: {"type": "object", "propertyNames": {"pattern": f"^[a-z]{{1,{n}}}$"}},
    "unevaluated properties": lambda n: {**_each(n, lambda _: _TEXT), "unevaluatedProperties": _TEXT},
    "other properties": lambda n: {**_each(n, lambda _: _TEXT), "additionalProperties": _TEXT},
    "properties of properties": lambda n: _each(n, lambda _: _each(10, lambda _: {"type": "integer"})),
    "unique items": lambda n: {"type": "array", "uniqueItems": True, "items": {"enum": list(range(n))}},
    "contained values": lambda n: {"type": "array", "contains": {"enum": list(range(n))}},
    "minProperties": lambda n: {"type": "object", "additionalProperties": _TEXT, "minProperties": n},
    "maxProperties": lambda n: {"type": "object", "additionalProperties": _TEXT, "maxProperties": n},
    "Chinese names": lambda n: {"properties": {chr(0x4E00 + at % 20_000) + str(at): _TEXT for at in range(n)}},
    "a long name": lambda n: {"type": "object", "properties": {"a" * n: _TEXT}, "required": ["a" * n]},
    "required names": lambda n: {"type": "object", "required": [f"p{at}" for at in range(n)]},
    "patterns": lambda n: _required(n, lambda at: _pattern(f"^[a-z]+{at}[0-9]+$")),
    "lists of types": lambda n: _required(n, lambda _: {"type": ["string", "number", "null", "array", "object"]}),
    "parts that allow anything": lambda n: _required(n, lambda _: {}),
}


@contextmanager
def grammars(folder: Path) -> Iterator[Mapping[str, Measure]]:
    folder = write_tiny_model(folder / "tiny", vocab_size=49152)
    model = load(resolve(str(folder), progress=ConsoleProgress()))
    grammars = Grammars(model)
    grammars.prepare()  # once: each process below has a copy
    yield {f"grammar with {name}": partial(_cost, model, grammars, schema) for name, schema in SCHEMAS.items()}


def _cost(model: LoadedModel, grammars: Grammars, schema: Callable[[int], object], size: int) -> Cost:
    value = schema(size)
    return isolated(lambda: _of_answer(model, grammars, value))


def _of_answer(model: LoadedModel, grammars: Grammars, schema: object) -> Cost:
    num_bytes = len(json.dumps(schema))
    begun = time.process_time()
    try:
        text = require_schema(schema, "schema")
        request = GenerationRequest((ChatMessage(Role.USER, "Go."),), max_tokens=NUM_TOKENS, output_schema=text)
        matcher = grammars.matcher_for(request, starts_thinking=False)
    except ValidationError:
        return Cost(time.process_time() - begun, 0.0, REFUSED, num_bytes)
    assert matcher is not None
    mask = GrammarMask(matcher, model.vocabulary_size)
    longest = _longest_step(mask)
    return Cost(time.process_time() - begun, longest, FAILED if mask.failed else OK, num_bytes)


def _longest_step(mask: GrammarMask) -> float:
    """Of an answer of tokens chosen at random among those allowed. Without MLX, which a forked process cannot use."""
    chance, longest = random.Random(1), 0.0  # noqa: S311 - not a secret
    token_id = None
    for _ in range(NUM_TOKENS):
        begun = time.thread_time()
        allowed = mask.after(token_id)
        longest = max(longest, time.thread_time() - begun)
        if allowed is None:
            break
        ids = np.flatnonzero(np.unpackbits(allowed.view(np.uint8), bitorder="little"))
        if not len(ids):
            break
        token_id = int(chance.choice(ids))
    return longest

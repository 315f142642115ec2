"""Whether what a client calls a JSON schema is one (W14, W16).

Source: JSON Schema's own meta-schemas, by `jsonschema`; the draft is the one that the schema names, else 2020-12.
"""

from __future__ import annotations

import json
from functools import lru_cache

from pensieve.core.errors import ValidationError


def require_schema(schema: object, field: str) -> str:
    """The schema's text, as the rest of the server takes it.

    Raises:
        ValidationError: it is no JSON schema; the message starts with the path of what is wrong in it.
    """
    try:
        text = json.dumps(schema, ensure_ascii=False)
        problem = _problem(text)
    except RecursionError as error:
        raise ValidationError(field, "it nests too deeply: describe its parts in $defs and refer to them") from error
    if problem is not None:
        path, sentence = problem
        raise ValidationError(".".join([field, *path]), f"this is no JSON schema: {sentence}")
    return text


@lru_cache(maxsize=512)
def _problem(text: str) -> tuple[tuple[str, ...], str] | None:
    """Where a schema is none and why. A client sends the same tools with every request, so each is looked at once."""
    from jsonschema import Draft202012Validator, validators  # noqa: PLC0415 - a request without schemas needs none of it

    schema = json.loads(text)
    validator = validators.validator_for(schema, default=Draft202012Validator)
    found = next(iter(validator(validator.META_SCHEMA).iter_errors(schema)), None)
    if found is None:
        return None
    return tuple(map(str, found.absolute_path)), f"{found.message[:200]}"

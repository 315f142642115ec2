"""JSON that keeps to a schema, as a rule of llguidance's grammars.

Source: llguidance's documentation, "JSON schema" (%json, x-guidance).
"""

from __future__ import annotations

import json
from typing import Any

_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""As Python's json writes it, and as most models were taught."""


def json_rule(schema: Any, *, lenient: bool) -> str:
    """The right side of a rule. A lenient one passes over the schema's keywords that it does not know."""
    if isinstance(schema, dict):
        schema = {**schema, "x-guidance": {**_STYLE, "lenient": lenient}}
    return f"%json {json.dumps(schema)}"

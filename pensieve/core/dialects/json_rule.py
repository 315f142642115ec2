"""JSON that satisfies a schema, as a rule of an llguidance grammar.

Source: llguidance's documentation, "JSON schema" (%json, x-guidance).
"""

from __future__ import annotations

import json
from typing import Any

_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""As Python's json module writes it, which most models were trained on."""


def json_rule(schema: Any) -> str:
    """The right-hand side of a rule."""
    if isinstance(schema, bool):
        schema = {} if schema else {"enum": []}
    return f"%json {json.dumps({**schema, 'x-guidance': _STYLE})}"

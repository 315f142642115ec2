"""Adapts a tokenizer for llguidance, so that a grammar's text may contain added tokens that are ordinary text.

llguidance treats every added token that is special, or written between < and >, as a control token, which text cannot
contain. But Gemma's added tokens `<table>` and `<b>` are ordinary text, and a constrained Gemma could never write HTML.
So llguidance gets added tokens that are neither special nor marks of the dialect as plain vocabulary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, Final

_LOOKS_SPECIAL: Final = re.compile(r"<[!-~]*>")
"""Printable ASCII, whose characters are the same in every vocabulary."""


def grammar_tokenizer(tokenizer_json: str, marks: Collection[int]) -> str:
    """The tokenizer.json for llguidance. `marks` are the ids of the tokens that a grammar refers to."""
    tokenizer: dict[str, Any] = json.loads(tokenizer_json)
    vocabulary = tokenizer["model"].get("vocab")
    if not isinstance(vocabulary, dict):
        return tokenizer_json
    text = [token for token in tokenizer["added_tokens"] if _is_text(token) and token["id"] not in marks]
    if not text:
        return tokenizer_json
    ids = {token["id"] for token in text}
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] not in ids]
    vocabulary.update({token["content"]: token["id"] for token in text})
    return json.dumps(tokenizer, ensure_ascii=False)


def _is_text(token: dict[str, Any]) -> bool:
    return not token["special"] and _LOOKS_SPECIAL.fullmatch(token["content"]) is not None

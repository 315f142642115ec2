"""A tokenizer as llguidance should see it: which of its added tokens are text.

llguidance takes every added token that is special, or written between < and >, for a control token, which no text can
have in it. But Gemma has `<table>` and `<b>` as added tokens that are ordinary text; a model held to a grammar could
never write HTML. So added tokens that are neither special nor marks of the dialect are given to it as plain vocabulary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, Final

_LOOKS_SPECIAL: Final = re.compile(r"<[!-~]*>")
"""Printable ASCII, whose characters are the same in every vocabulary."""


def grammar_tokenizer(tokenizer_json: str, marks: Collection[int]) -> str:
    """The text of tokenizer.json for llguidance. `marks` are the ids of the tokens that a grammar names."""
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

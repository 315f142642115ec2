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
_ADDED_TOKENS: Final = '"added_tokens":'
_VOCABULARY: Final = re.compile(r'"model":\{"type":"\w+",.*?"vocab":\{', re.DOTALL)
"""Up to the entries of a dictionary: a unigram model's vocabulary is a list."""


def grammar_tokenizer(tokenizer_json: str, marks: Collection[int]) -> str:
    """The tokenizer.json for llguidance, from one that `tokenizers` wrote. `marks` are the ids of the tokens that a
    grammar refers to.

    The vocabulary stays text, because parsing a large one takes a second.
    """
    start = tokenizer_json.index(_ADDED_TOKENS) + len(_ADDED_TOKENS)
    added, end = json.JSONDecoder().raw_decode(tokenizer_json, start)
    vocabulary = _VOCABULARY.search(tokenizer_json, end)
    plain = {token["id"]: token["content"] for token in added if _is_text(token) and token["id"] not in marks}
    if vocabulary is None or not plain:
        return tokenizer_json
    kept = _written([token for token in added if token["id"] not in plain])
    more = [f"{_written(content)}:{token_id}" for token_id, content in plain.items()]
    before, entries = tokenizer_json[end : vocabulary.end()], tokenizer_json[vocabulary.end() :]
    comma = "" if entries.startswith("}") else ","
    return "".join((tokenizer_json[:start], kept, before, ",".join(more), comma, entries))


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _is_text(token: dict[str, Any]) -> bool:
    return not token["special"] and _LOOKS_SPECIAL.fullmatch(token["content"]) is not None

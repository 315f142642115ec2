"""The official JSON-Schema-Test-Suite judges what is enforced: `tox -e schemas`.

jsonschema's source distribution has the suite; pip downloads it once into an ignored folder. For each of its schemas,
of every draft: it compiles; the grammar accepts every valid value; and it refuses every invalid one unless a keyword
was named.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from llguidance import LLMatcher, LLTokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from pensieve.core.dialects.grammar import schema_grammar
from pensieve.core.schemas.enforceable import enforceable
from pensieve.engine.decoding.enforced_schemas import problem_of

pytestmark = pytest.mark.skipif("PENSIEVE_SCHEMA_SUITE" not in os.environ, reason="run by tox -e schemas")

_FOLDER: Final = Path(__file__).parent / ".downloads"
_PACKAGE: Final = "jsonschema==4.26.0"
_SHA256: Final = "0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326"
_DRAFTS: Final = {
    "draft3": "http://json-schema.org/draft-03/schema#",
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
_STRICTER: Final = {
    "ref overrides any sibling keywords",  # up to draft 7; here both count, as in later drafts
    "schema that uses custom metaschema with with no validation vocabulary",  # metaschemas are not fetched
}
_MAX_NAMES: Final = 4


@pytest.mark.parametrize("draft", _DRAFTS)
def test_every_schema_of_the_suite_is_enforced_or_named(draft: str) -> None:
    wrong: list[str] = []
    num_values = 0
    for case in _cases(draft):
        schema = case["schema"]
        if isinstance(schema, dict):
            schema = {"$schema": _DRAFTS[draft], **schema}
        found = enforceable(schema, problem_of)
        assert not problem_of(found.schema), case["description"]
        for test in case["tests"]:
            num_values += 1
            accepted = found.contradiction is None and any(
                _accepts(found.schema, each) for each in _orders(test["data"])
            )
            if accepted and not test["valid"] and not found.gaps:
                wrong.append(f"accepted: {case['description']}, {test['description']}")
            if not accepted and test["valid"] and case["description"] not in _STRICTER:
                wrong.append(f"refused: {case['description']}, {test['description']}")
    assert not wrong
    assert num_values > 250


def _cases(draft: str) -> Iterator[dict[str, Any]]:
    for path in sorted((_suite() / draft).glob("*.json")):
        if path.name != "format.json":  # formats are enforced here, and annotations there
            yield from json.loads(path.read_text(encoding="utf-8"))


@cache
def _suite() -> Path:
    _FOLDER.mkdir(exist_ok=True)
    if not list(_FOLDER.glob("jsonschema-*/json/tests")):
        source = ["--no-deps", "--no-binary", "jsonschema", _PACKAGE]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(_FOLDER), *source]
        subprocess.run(command, check=True, timeout=240)
        (archive,) = _FOLDER.glob("*.tar.gz")
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == _SHA256
        with tarfile.open(archive) as opened:
            opened.extractall(_FOLDER, filter="data")
    (found,) = _FOLDER.glob("jsonschema-*/json/tests")
    return found


@cache
def _tokenizer() -> LLTokenizer:
    """Each byte is a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={each: number for number, each in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<eos>"])
    return LLTokenizer(tokenizer.to_str(), eos_token=tokenizer.token_to_id("<eos>"))


def _accepts(schema: Any, value: Any) -> bool:
    matcher = LLMatcher(_tokenizer(), schema_grammar(schema), log_level=0)
    token_ids = _tokenizer().tokenize_str(json.dumps(_with_integers(value), ensure_ascii=False))
    return matcher.try_consume_tokens(token_ids) == len(token_ids) and matcher.is_accepting()


def _with_integers(value: Any) -> Any:
    """1.0 as 1, which is the same JSON number."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_with_integers(each) for each in value]
        case dict():
            return {key: _with_integers(part) for key, part in value.items()}
        case _:
            return value


def _orders(value: Any) -> Iterator[Any]:
    """A grammar wants the properties of an object in the order of the schema."""
    if isinstance(value, dict) and len(value) <= _MAX_NAMES:
        yield from (dict(order) for order in itertools.permutations(value.items()))
    else:
        yield value

"""No bytes make a decoder raise anything but an error of ours."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from werkzeug.exceptions import RequestEntityTooLarge

from pensieve.core.errors import PensieveError
from tests.fuzz.decoders.catalogue import DECODERS
from tests.fuzz.decoders.decoder import Decoder
from tests.fuzz.mutations import mutated, mutated_bytes

MAX_CHARACTERS = 2000
"""Of a sentence, which may quote a part of the bytes."""
MAX_SHARE = 10
"""A decoder is tried with a tenth of the requests' number."""


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", DECODERS)
def test_any_bytes_are_read_or_refused(name: str, tmp_path: Path, num_requests: int, first: int) -> None:
    decoder = DECODERS[name]
    refusals: tuple[type[Exception], ...] = (PensieveError, RequestEntityTooLarge, *decoder.refusals)
    seed = decoder.seed(tmp_path)
    for number in range(first, first + num_requests // MAX_SHARE):
        data = changed(decoder, seed, random.Random(number))  # noqa: S311 - chooses changes
        try:
            decoder.read(data, tmp_path)
        except refusals as error:
            require_sentence(str(error), decoder.refusal_names)
        except Exception as error:
            raise AssertionError(f"{number}: {type(error).__name__}: {error}: {data[:1000]!r}") from error


def require_sentence(text: str, name: str) -> None:
    assert name in text
    assert len(text.splitlines()) == 1
    assert len(text) < MAX_CHARACTERS


def changed(decoder: Decoder, seed: bytes, rng: random.Random) -> bytes:
    if decoder.is_json and rng.random() < 0.6:
        return json.dumps(mutated(json.loads(seed), rng)).encode("utf-8", "surrogatepass")
    return mutated_bytes(seed, rng)

"""A process that writes prompts to disk until it is killed. The content of a block follows from its tokens.

python -m tests.engine.prompt_cache.disk.kill_writer FOLDER SEED LIMIT_BYTES
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pensieve.core.prefixes.worth import Worth
from pensieve.engine.kv.blocks import HostArray
from pensieve.engine.prompt_cache.disk.tier import BLOCK_TOKENS, DiskTier

FINGERPRINT: Final = "killed"
NUM_PROMPTS: Final = 40


def prompt_of(number: int) -> list[int]:
    """Prompts that share one or two blocks with their neighbours, and end with a shorter block."""
    rng = np.random.default_rng(number)
    shared = np.random.default_rng(1000 + number // 4).integers(0, 1000, 300)
    return [int(token) for token in (*shared, *rng.integers(0, 1000, 100 + 90 * (number % 7)))]


def first_prompt(seed: int) -> int:
    """Each process has prompts of its own, so that it is writing when it is killed."""
    return 1000 * seed


def content_of(token_ids: Sequence[int], start: int, end: int) -> list[HostArray]:
    """Arrays that depend on these tokens and all before them."""
    before = np.asarray(token_ids[:end], np.float64)
    sums = np.cumsum(before * np.arange(1, end + 1))[start:]
    data = np.repeat(sums.astype(np.float32), 64).view(np.uint8)
    return [HostArray("float32", (1, 1, end - start, 64), data)]


def keep(tier: DiskTier, token_ids: Sequence[int]) -> None:
    blocks = [
        (
            tier.new_block(place, token_ids, {"layout": "joined"}, content_of(token_ids, place.start, place.end)),
            Worth.READ_AGAIN,
        )
        for place in tier.places(token_ids)
        if tier.wants(place, token_ids)
    ]
    tier.put(blocks, [])


def keep_state(tier: DiskTier, token_ids: Sequence[int]) -> None:
    """With the segments that it needs."""
    places = tier.places(token_ids, is_state=True)
    blocks = [
        (
            tier.new_block(
                place,
                token_ids,
                {"layout": "state" if place.is_state else "joined"},
                content_of(token_ids, place.start, place.end),
            ),
            Worth.READ_AGAIN,
        )
        for place in places
        if tier.wants(place, token_ids)
    ]
    tier.put(blocks, [])


def state_is_right(tier: DiskTier, token_ids: Sequence[int]) -> bool | None:
    """Whether a tier serves the state after these tokens, and all that it needs, as it was written. None: it does not
    serve it.
    """
    match, start = tier.find_state(token_ids), 0
    if match.num_tokens < len(token_ids):
        return None
    for stored in match.blocks:
        block, end = tier.read(stored), start + len(stored.token_ids)
        if block is None or not np.array_equal(block.arrays[0].data, content_of(token_ids, start, end)[0].data):
            return False
        start = end
    return start == len(token_ids)


def wrong_or_missing(tier: DiskTier, token_ids: Sequence[int]) -> tuple[int, int]:
    """The number of wrong blocks that a tier serves for a prompt, and of tokens that it does not serve."""
    match, start, num_wrong = tier.find(token_ids), 0, 0
    for stored in match.blocks:
        block = tier.read(stored)
        end = start + len(stored.token_ids)
        if block is None:
            return num_wrong, len(token_ids) - start
        expected: npt.NDArray[np.uint8] = content_of(token_ids, start, min(end, len(token_ids)))[0].data
        num_wrong += not np.array_equal(block.arrays[0].data[: len(expected)], expected) and end <= match.num_tokens
        start = end
    return num_wrong, len(token_ids) - match.num_tokens


def main(folder: str, seed: str, limit_bytes: str) -> None:
    tier = DiskTier(Path(folder), FINGERPRINT, limit_bytes=int(limit_bytes))
    chance = np.random.default_rng(int(seed))
    print("writing", flush=True)  # noqa: T201 - the test waits for it before it kills this process
    for _ in range(100_000):
        token_ids = prompt_of(first_prompt(int(seed)) + int(chance.integers(NUM_PROMPTS)))
        keep(tier, token_ids)
        keep_state(tier, token_ids[:-1])
        tier.flush(10.0)


if __name__ == "__main__":
    assert BLOCK_TOKENS == 256
    main(*sys.argv[1:])

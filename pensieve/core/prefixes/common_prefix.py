"""The longest common prefix of two token sequences: the one place that compares prompts, blocks and drafts."""

from __future__ import annotations

from collections.abc import Sequence


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """The number of leading tokens that two sequences of the same type share (two lists, tuples or memoryviews).

    Compares slices and halves them: comparing token by token in Python would be slow on long prompts.
    """
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    if one[0] != other[0]:
        return 0
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low

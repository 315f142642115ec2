"""The roofline model: how fast a model can run, from what it reads and computes and what the device can do (U3).

Decoding a token reads all active weights and the conversation's keys and values once, so memory bandwidth limits it: at
68 GB/s, the 3.8 GB of a 6.7B model in 4 bits allow 18 tokens/s. Prefill processes many tokens for one read of the
weights, so arithmetic limits it.

In a mixture of experts a token reads a few experts of each layer, and a chunk of a prompt nearly all of them, so that
reading may take longer than the arithmetic of the few. A recurrent layer reads and writes its whole state for each
token.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeviceRates:
    """What a device can do per second, and the share of it that inference reaches.

    The shares are 1 if the rates were measured with inference's own operations.
    """

    bandwidth_bytes_per_second: float
    flops_per_second: float
    attention_flops_per_second: float
    operation_seconds: float = 0.0
    """The overhead of an operation, besides its arithmetic and memory."""
    bandwidth_share: float = 1.0
    compute_share: float = 1.0


@dataclass(frozen=True, slots=True)
class AttentionLayers:
    """Layers of the same shape. `width` is heads times (query size + value size)."""

    num_layers: int
    width: int
    window_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class TokenCost:
    """What one token takes: `bytes_per_token` to read, `active_parameters` to multiply, and attention.

    Of `expert_bytes`, all experts of all layers, each token reads `expert_share`, which `bytes_per_token` includes.
    """

    bytes_per_token: int
    active_parameters: int
    attention: tuple[AttentionLayers, ...] = ()
    num_operations: int = 0
    expert_bytes: int = 0
    expert_share: float = 1.0

    def bytes_read(self, num_tokens: int) -> float:
        """By one pass over several tokens, whose experts are taken as independent of each other."""
        reached = 1 - (1 - self.expert_share) ** num_tokens
        return self.bytes_per_token + self.expert_bytes * (reached - self.expert_share)


def limit_tokens_per_second(cost: TokenCost, rates: DeviceRates, kv_bytes: int = 0) -> float:
    """The upper limit that memory bandwidth sets."""
    return rates.bandwidth_bytes_per_second / (cost.bytes_per_token + kv_bytes)


def tokens_per_second(cost: TokenCost, rates: DeviceRates, kv_bytes: int = 0) -> float:
    """The expected decoding speed of one conversation with `kv_bytes` of KV."""
    reading = (cost.bytes_per_token + kv_bytes) / (rates.bandwidth_bytes_per_second * rates.bandwidth_share)
    computing = 2 * cost.active_parameters / (rates.flops_per_second * rates.compute_share)
    return 1 / (max(reading, computing) + cost.num_operations * rates.operation_seconds)


def first_token_seconds(cost: TokenCost, rates: DeviceRates, prompt_tokens: int, chunk_tokens: int) -> float:
    """The expected time to first token of a prompt that is not cached, computed in chunks."""
    matrices = 2 * cost.active_parameters * prompt_tokens / (rates.flops_per_second * rates.compute_share)
    attention = _attention_flops(cost, prompt_tokens) / (rates.attention_flops_per_second * rates.compute_share)
    num_chunks = -(-prompt_tokens // chunk_tokens)
    read = num_chunks * cost.bytes_read(min(prompt_tokens, chunk_tokens))
    reading = read / (rates.bandwidth_bytes_per_second * rates.bandwidth_share)
    return max(matrices + attention, reading) + num_chunks * cost.num_operations * rates.operation_seconds


def _attention_flops(cost: TokenCost, prompt_tokens: int) -> float:
    """Each token attends to all tokens before it, on average half of them, or to its window."""
    flops = 0.0
    for layers in cost.attention:
        pairs = prompt_tokens * min(prompt_tokens / 2, layers.window_tokens or prompt_tokens)
        flops += 2.0 * layers.num_layers * layers.width * pairs
    return flops

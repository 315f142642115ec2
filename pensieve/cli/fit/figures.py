"""Whether a model fits under a limit, and how fast it can be expected to be: the figures (U3, S7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pensieve.cli.wiring import SEED_LIMIT_BYTES, SHARE_OF_MACHINE, capacity_bytes
from pensieve.core.fit.kv_bytes import KVBits, KVShape, conversations_at_once, kv_bytes, longest_context
from pensieve.core.fit.roofline import Rates, first_token_seconds, limit_tokens_per_second, tokens_per_second
from pensieve.device.memory.ledger import spare_buffers_bytes
from pensieve.models.estimate.footprint import Footprint, activations_estimate

MIN_CONTEXT_TOKENS: Final = 2048
"""What has to fit where nothing else is asked for: less is no conversation."""
SESSION_TOKENS: Final = 8192
if TYPE_CHECKING:
    from pensieve.device.device import Backend

_WINDOW_WHEN_UNKNOWN: Final = 4096
_LIBRARIES_BYTES: Final = 400_000_000
"""Of Python, MLX and a tokenizer, as a served process of the embedded model has them."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What is known before loading. `activation_bytes` and `reserve_bytes` are estimates until then."""

    name: str
    where: str
    device: str
    footprint: Footprint
    limit_bytes: int
    limit_from: str
    activation_bytes: int
    reserve_bytes: int
    rates: Rates
    rates_from: str
    context_tokens: int | None = None
    kv_bits: KVBits = None

    @property
    def window_tokens(self) -> int:
        return self.footprint.window_tokens or _WINDOW_WHEN_UNKNOWN

    @property
    def session_tokens(self) -> int:
        """Of a conversation of the usual length, by which those at once are counted."""
        return min(SESSION_TOKENS, self.window_tokens)

    @property
    def available_bytes(self) -> int:
        """For conversations; negative where not even the weights have room."""
        return self.limit_bytes - self.footprint.weights_bytes - self.activation_bytes - self.reserve_bytes

    @property
    def needed_context_tokens(self) -> int:
        return self.context_tokens or min(MIN_CONTEXT_TOKENS, self.window_tokens)

    @property
    def missing_bytes(self) -> int:
        """By how much it does not fit; 0 where it does."""
        shape = self.footprint.kv
        needed = kv_bytes(shape, self.needed_context_tokens, bits=self.kv_bits) if shape else 0
        return max(0, needed - self.available_bytes)

    @property
    def window_is_too_short(self) -> bool:
        return self.needed_context_tokens > self.window_tokens

    @property
    def fits(self) -> bool:
        return not self.missing_bytes and not self.window_is_too_short

    def longest(self, shape: KVShape, bits: KVBits) -> int:
        return longest_context(self.available_bytes, shape, self.window_tokens, bits=bits)

    def at_once(self, shape: KVShape, bits: KVBits) -> int | None:
        return conversations_at_once(self.available_bytes, shape, self.session_tokens, bits=bits)

    def expected_tokens_per_second(self, num_tokens: int) -> float:
        shape = self.footprint.kv
        held = kv_bytes(shape, num_tokens, bits=self.kv_bits) if shape else 0
        return tokens_per_second(self.footprint.work, self.rates, held)

    def expected_first_token_seconds(self, num_tokens: int) -> float:
        return first_token_seconds(self.footprint.work, self.rates, num_tokens)

    def as_json(self) -> dict[str, Any]:
        shape = self.footprint.kv
        longest = self.longest(shape, self.kv_bits) if shape else None
        return {
            "name": self.name,
            "device": self.device,
            "fits": self.fits,
            "missing_bytes": self.missing_bytes,
            "limit_bytes": self.limit_bytes,
            "weights_bytes": self.footprint.weights_bytes,
            "parameters": self.footprint.num_parameters,
            "activation_bytes_estimate": self.activation_bytes,
            "reserve_bytes_estimate": self.reserve_bytes,
            "context_window_tokens": self.footprint.window_tokens,
            "kv_bits": self.kv_bits,
            "kv_bytes_per_token": shape.bytes_per_token(self.kv_bits) if shape else None,
            "kv_bytes_at_window": kv_bytes(shape, self.window_tokens, bits=self.kv_bits) if shape else None,
            "kv_unknown": self.footprint.kv_unknown or None,
            "longest_context_tokens": longest,
            "longest_context_tokens_8_bit": self.longest(shape, 8) if shape and shape.can_be_quantised else None,
            "requests_of_8192_tokens": self.at_once(shape, self.kv_bits) if shape else None,
            "tokens_per_second_limit": limit_tokens_per_second(self.footprint.work, self.rates),
            "tokens_per_second": self.expected_tokens_per_second(0),
            "tokens_per_second_at_longest": self.expected_tokens_per_second(longest) if longest else None,
            "first_token_seconds_2048": self.expected_first_token_seconds(2048),
            "first_token_seconds_at_longest": self.expected_first_token_seconds(longest) if longest else None,
            "rates_from": self.rates_from,
            "remarks": list(self.footprint.remarks),
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user gave; None where nothing."""

    limit_bytes: int | None = None
    context_tokens: int | None = None
    kv_bits: KVBits = None
    probe: bool = False


def fit_of(source: str, asked: Asked, tell: Callable[[str], None]) -> Fit:
    """The figures of a model by any of its names, on this machine.

    Raises:
        ModelLoadingError: there is no such model, or nothing can be told of it.
        ValidationError: the limit is more than there is.
    """
    from pensieve.device.device import device_info  # noqa: PLC0415 - --help answers without MLX

    device = device_info()  # first of all: it puts a fast BLAS before MLX
    from pensieve.models.estimate.footprint import footprint  # noqa: PLC0415
    from pensieve.models.estimate.inspect import inspect_model  # noqa: PLC0415
    from pensieve.models.estimate.machine_speed import machine_rates  # noqa: PLC0415
    from pensieve.models.files.progress import ConsoleProgress  # noqa: PLC0415

    told = inspect_model(source, progress=ConsoleProgress())
    found = footprint(told.config, told.headers, dense=device.backend == "cpu")
    limit = capacity_bytes(asked.limit_bytes, device.total_memory_bytes)
    reserve = spare_buffers_bytes(limit) + (0 if device.backend == "cuda" else _LIBRARIES_BYTES)
    rates, rates_from = machine_rates(tell, anew=asked.probe)
    return Fit(
        name=told.name,
        where=told.where,
        device=device.say(),
        footprint=found,
        limit_bytes=limit,
        limit_from=_limit_from(asked.limit_bytes, limit, device.total_memory_bytes),
        activation_bytes=_activation_bytes(told.config, found, device.backend, limit),
        reserve_bytes=reserve,
        rates=rates,
        rates_from=rates_from,
        context_tokens=asked.context_tokens,
        kv_bits=asked.kv_bits,
    )


def _activation_bytes(config: Mapping[str, Any], found: Footprint, backend: Backend, limit_bytes: int) -> int:
    """Of reading prompts: for whole chunks, or such smaller ones as the server would take to stay in its share."""
    from pensieve.engine.memory.probe import (  # noqa: PLC0415 - they bring MLX
        ACTIVATIONS_SHARE,
        CHUNK_TOKENS,
        FULL_CHUNK_TOKENS,
    )

    for_whole_chunks = activations_estimate(
        config,
        chunk_tokens=CHUNK_TOKENS[backend],
        context_tokens=min(found.window_tokens or _WINDOW_WHEN_UNKNOWN, FULL_CHUNK_TOKENS),
        number_bytes=4 if backend == "cpu" else 2,
        fused=backend != "cpu",
    )
    return min(for_whole_chunks, int(ACTIVATIONS_SHARE * limit_bytes))


def _limit_from(given: int | None, limit: int, machine_bytes: int) -> str:
    if given is not None:
        return "as given with --memory-limit"
    if limit < SEED_LIMIT_BYTES:
        return f"{SHARE_OF_MACHINE:.0%} of the {machine_bytes / 1e9:.1f} GB that there are for models here"
    return "the default, on a machine that has more"

"""The figures of `pensieve fit`: whether a model fits under a limit, and how fast it is expected to be (U3, S7)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pensieve.cli.sizes import Size, format_gigabytes
from pensieve.cli.wiring import DEFAULT_LIMIT_BYTES, SHARE_OF_MACHINE, capacity_bytes
from pensieve.core.fit.kv_bytes import KVBits, KVShape, conversations_at_once, kv_bytes, longest_context
from pensieve.core.fit.roofline import DeviceRates, first_token_seconds, limit_tokens_per_second, tokens_per_second
from pensieve.device.memory.ledger import spare_buffers_bytes
from pensieve.models.estimate.footprint import Footprint, activations_estimate
from pensieve.models.loading.config import DEFAULT_WINDOW_TOKENS

if TYPE_CHECKING:
    from pensieve.device.device import Backend

MIN_CONTEXT_TOKENS: Final = 2048
"""The conversation that has to fit when the user names no length; a shorter one is of no use."""
SESSION_TOKENS: Final = 8192

_LIBRARIES_BYTES: Final = 400_000_000
"""Memory of Python, MLX and a tokenizer, measured in a server of the embedded model."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The figures of one model on one machine, before it is loaded.

    `where` says what they were read from, `limit_from` and `rates_from` where the limit and the rates come from.
    `activation_bytes` and `reserve_bytes` are estimates.
    """

    name: str
    where: str
    device: str
    footprint: Footprint
    limit_bytes: int
    limit_from: str
    activation_bytes: int
    reserve_bytes: int
    rates: DeviceRates
    rates_from: str
    chunk_tokens: int
    """Of a prompt that is prefilled."""
    context_tokens: int | None = None
    kv_bits: KVBits = None

    @property
    def window_tokens(self) -> int:
        return self.footprint.window_tokens or DEFAULT_WINDOW_TOKENS

    @property
    def session_tokens(self) -> int:
        """The length of a usual conversation, of which `max_conversations` run side by side."""
        return min(SESSION_TOKENS, self.window_tokens)

    @property
    def available_bytes(self) -> int:
        """Bytes for conversations; negative when not even the weights fit."""
        weights_bytes = self.footprint.weights_bytes + self.footprint.mtp_bytes
        return self.limit_bytes - weights_bytes - self.activation_bytes - self.reserve_bytes

    @property
    def needed_context_tokens(self) -> int:
        return self.context_tokens or min(MIN_CONTEXT_TOKENS, self.window_tokens)

    @property
    def missing_bytes(self) -> int:
        """How many bytes are missing; 0 when it fits."""
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

    def max_conversations(self, shape: KVShape, bits: KVBits) -> int | None:
        return conversations_at_once(self.available_bytes, shape, self.session_tokens, bits=bits)

    def expected_tokens_per_second(self, num_tokens: int) -> float:
        shape = self.footprint.kv
        # A recurrent state is read, and written as well.
        num_bytes = kv_bytes(shape, max(1, num_tokens), bits=self.kv_bits) + shape.state_bytes if shape else 0
        return tokens_per_second(self.footprint.token_cost, self.rates, num_bytes)

    def expected_first_token_seconds(self, num_tokens: int) -> float:
        return first_token_seconds(self.footprint.token_cost, self.rates, num_tokens, self.chunk_tokens)

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
            "mtp_bytes": self.footprint.mtp_bytes,
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
            "requests_of_8192_tokens": self.max_conversations(shape, self.kv_bits) if shape else None,
            "tokens_per_second_limit": limit_tokens_per_second(self.footprint.token_cost, self.rates),
            "tokens_per_second": self.expected_tokens_per_second(0),
            "tokens_per_second_at_longest": self.expected_tokens_per_second(longest) if longest else None,
            "first_token_seconds_2048": self.expected_first_token_seconds(2048),
            "first_token_seconds_at_longest": self.expected_first_token_seconds(longest) if longest else None,
            "rates_from": self.rates_from,
            "remarks": list(self.footprint.remarks),
        }


@dataclass(frozen=True, slots=True)
class FitOptions:
    """The user's options; None for the defaults."""

    limit: Size | None = None
    context_tokens: int | None = None
    kv_bits: KVBits = None
    probe: bool = False


def estimate_fit(source: str, options: FitOptions) -> Fit:
    """The figures of a model, by any name that `pensieve serve --model` takes. Progress goes to stderr.

    Raises:
        ModelLoadingError: the model does not exist, or cannot be inspected.
        ValidationError: the limit exceeds the machine's memory.
    """
    from pensieve.device.device import device_info  # noqa: PLC0415 - not needed for --help

    device = device_info()  # before anything else imports MLX, because it loads the BLAS that MLX has to use
    from pensieve.engine.memory.probe import CHUNK_TOKENS  # noqa: PLC0415
    from pensieve.models.estimate.footprint import footprint  # noqa: PLC0415
    from pensieve.models.estimate.inspect import inspect_model  # noqa: PLC0415
    from pensieve.models.estimate.machine_speed import machine_rates  # noqa: PLC0415
    from pensieve.models.files.progress import ConsoleProgress  # noqa: PLC0415

    model = inspect_model(source, progress=ConsoleProgress())
    weights = footprint(model.config, model.headers, dense=device.backend == "cpu")
    limit = capacity_bytes(options.limit, device.total_memory_bytes)
    reserve = spare_buffers_bytes(limit) + (0 if device.backend == "cuda" else _LIBRARIES_BYTES)
    rates, rates_from = machine_rates(_print_progress, remeasure=options.probe)
    return Fit(
        name=model.name,
        where=model.where,
        device=device.describe(),
        footprint=weights,
        limit_bytes=limit,
        limit_from=_limit_from(options.limit, limit, device.total_memory_bytes),
        activation_bytes=_activation_bytes(model.config, weights, device.backend, limit),
        reserve_bytes=reserve,
        rates=rates,
        rates_from=rates_from,
        chunk_tokens=CHUNK_TOKENS[device.backend],
        context_tokens=options.context_tokens,
        kv_bits=options.kv_bits,
    )


def _activation_bytes(config: Mapping[str, Any], weights: Footprint, backend: Backend, limit_bytes: int) -> int:
    """Activations of a prefill chunk. The server shrinks its chunks until they stay within ACTIVATIONS_SHARE."""
    from pensieve.engine.memory.probe import (  # noqa: PLC0415 - imports MLX
        ACTIVATIONS_SHARE,
        CHUNK_TOKENS,
        FULL_CHUNK_TOKENS,
    )

    for_full_chunks = activations_estimate(
        config,
        chunk_tokens=CHUNK_TOKENS[backend],
        context_tokens=min(weights.window_tokens or DEFAULT_WINDOW_TOKENS, FULL_CHUNK_TOKENS),
        number_bytes=4 if backend == "cpu" else 2,
        fused=backend != "cpu",
    )
    return min(for_full_chunks, int(ACTIVATIONS_SHARE * limit_bytes))


def _limit_from(given: Size | None, limit: int, machine_bytes: int) -> str:
    if given is not None:
        return "given with --memory-limit"
    if limit < DEFAULT_LIMIT_BYTES:
        return f"{SHARE_OF_MACHINE:.0%} of the {format_gigabytes(machine_bytes)} that this machine has for models"
    return "the default"


def _print_progress(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)

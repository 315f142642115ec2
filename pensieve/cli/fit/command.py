"""`pensieve fit`: whether a model fits this machine, and how fast it will be, before it is loaded or fetched (U3)."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from pensieve.core.errors import PensieveError
from pensieve.core.fit.kv_bytes import KVShape, kv_bytes
from pensieve.core.fit.roofline import limit_tokens_per_second

if TYPE_CHECKING:
    from pensieve.cli.fit.figures import Fit

EXIT_FAILED, EXIT_DOES_NOT_FIT = 1, 3
_SHORT_PROMPT_TOKENS: Final = 2048


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to those of `pensieve`. What is parsed by it is for `run`."""
    parser = commands.add_parser(
        "fit",
        help="say whether a model fits, and how fast it will be",
        description="Say whether a model fits this machine and how fast it will be, from its files' heads alone. "
        "A model of the hub is not fetched for it.",
        epilog="Exit status: 0 it fits, 3 it does not, 1 nothing can be said, 2 it was asked wrongly.",
    )
    parser.add_argument("name", help="a model, by any name that `pensieve serve --model` takes")
    parser.add_argument("--memory-limit", type=_size, metavar="SIZE", help="what the server may use, such as 8GB")
    parser.add_argument("--context", type=_tokens, metavar="N", help="how long a conversation has to fit, in tokens")
    parser.add_argument("--kv-bits", type=int, choices=[8], help="keys and values in so many bits")
    parser.add_argument("--json", action="store_true", help="print JSON, sizes in bytes")
    parser.add_argument("--probe", action="store_true", help="measure this machine's speed anew, for ten seconds")


def run(arguments: argparse.Namespace) -> int:
    """The process's exit status: 0 fits, 3 does not, 1 failed."""
    from pensieve.cli.fit.figures import Asked, fit_of  # noqa: PLC0415 - --help answers without it
    from pensieve.device.process_exit import exit_cleanly  # noqa: PLC0415

    asked = Asked(arguments.memory_limit, arguments.context, arguments.kv_bits, arguments.probe)
    try:
        fit = fit_of(arguments.name, asked, _tell)
    except PensieveError as error:
        print(f"pensieve: {error}", file=sys.stderr)
        return exit_cleanly(EXIT_FAILED)
    print(json.dumps(fit.as_json(), indent=1) if arguments.json else "\n".join(_lines(fit)))
    return exit_cleanly(0 if fit.fits else EXIT_DOES_NOT_FIT)


def fit_lines(source: str, *, limit_bytes: int | None = None) -> list[str]:
    """What `pensieve fit` says of a model, for other commands to say as well.

    Raises:
        ModelLoadingError: there is no such model, or nothing can be told of it.
        ValidationError: the limit is more than there is.
    """
    from pensieve.cli.fit.figures import Asked, fit_of  # noqa: PLC0415

    return list(_lines(fit_of(source, Asked(limit_bytes), _tell)))


def _lines(fit: Fit) -> Iterator[str]:
    found = fit.footprint
    yield f"{fit.name} on {fit.device}, by {fit.where}"
    yield f"  weights      {_gb(found.weights_bytes)} ({found.num_parameters / 1e9:.2f} billion parameters)"
    yield f"  working room {_gb(fit.activation_bytes + fit.reserve_bytes)}: an estimate until the model is loaded"
    yield f"  limit        {_gb(fit.limit_bytes)}: {fit.limit_from}"
    yield from _conversation_lines(fit) if found.kv else [f"  conversations: unknown; {found.kv_unknown}"]
    yield from _speed_lines(fit)
    for remark in found.remarks:
        yield f"  note: {remark}"
    yield _verdict(fit)
    yield from () if fit.fits else _mends(fit)


def _conversation_lines(fit: Fit) -> Iterator[str]:
    shape = fit.footprint.kv
    assert shape is not None  # noqa: S101 - asked for only then
    yield (
        f"  conversation {shape.bytes_per_token(fit.kv_bits) / 1000:.1f} kB a token; "
        f"{_gb(kv_bytes(shape, fit.window_tokens, bits=fit.kv_bits))} at the whole window of {fit.window_tokens} tokens"
    )
    yield f"  longest      {_longest(fit, shape)}"
    at_once = fit.at_once(shape, fit.kv_bits)
    number = "any number of" if at_once is None else at_once
    yield f"  at once      {number} conversation{'' if number == 1 else 's'} of {fit.session_tokens} tokens"


def _longest(fit: Fit, shape: KVShape) -> str:
    said = f"{fit.longest(shape, fit.kv_bits)} tokens under the limit"
    if fit.kv_bits is None and shape.can_be_quantised:
        return f"{said}, {fit.longest(shape, 8)} with --kv-bits 8"
    return said if shape.can_be_quantised else f"{said}; keys and values of this model cannot be held in 8 bits"


def _speed_lines(fit: Fit) -> Iterator[str]:
    shape = fit.footprint.kv
    longest = fit.longest(shape, fit.kv_bits) if shape else 0
    limit = limit_tokens_per_second(fit.footprint.token_cost, fit.rates)
    speed = f"about {_rate(fit.expected_tokens_per_second(0))} tokens/s"
    first = f"about {_seconds(fit.expected_first_token_seconds(_SHORT_PROMPT_TOKENS))} after {_SHORT_PROMPT_TOKENS}"
    if longest:
        speed += f", {_rate(fit.expected_tokens_per_second(longest))} at {longest} tokens"
        first += f" tokens of prompt, {_seconds(fit.expected_first_token_seconds(longest))} after {longest}"
    else:
        first += " tokens of prompt"
    yield f"  speed        {speed} (the memory allows {_rate(limit)} at most)"
    yield f"  first token  {first}, with nothing of it kept from before"
    yield f"  rates        {fit.rates_from}"


def _verdict(fit: Fit) -> str:
    asked = f"a conversation of {fit.needed_context_tokens} tokens"
    if fit.window_is_too_short:
        return f"It does not fit: the model's window is {fit.window_tokens} tokens, and {asked} was asked for."
    if fit.fits:
        return f"It fits, with {asked}." if fit.footprint.kv else "Its weights fit; what conversations take is unknown."
    return f"It does not fit: for {asked} {_gb(fit.missing_bytes)} are missing."


def _mends(fit: Fit) -> Iterator[str]:
    """What would fit, the mildest first."""
    shape = fit.footprint.kv
    if fit.window_is_too_short:
        yield f"  What would: --context {fit.window_tokens} or less, or a model with a longer window."
        return
    longest = fit.longest(shape, fit.kv_bits) if shape else 0
    if shape and fit.kv_bits is None and fit.longest(shape, 8) >= fit.needed_context_tokens:
        yield "  What would: keys and values in 8 bits (--kv-bits 8)."
    if longest:
        yield f"  What would: a shorter conversation (--context {longest})."
    yield (
        f"  What would: a limit of {_gb(fit.limit_bytes + fit.missing_bytes)} (--memory-limit), or a smaller model "
        "(`pensieve models list --available`)."
    )


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if abs(num_bytes) >= 10**8 else f"{num_bytes / 1e6:.1f} MB"


def _rate(per_second: float) -> str:
    return f"{per_second:.0f}" if per_second >= 10 else f"{per_second:.1f}"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmg]?)b?", text.strip().lower(), re.ASCII)
    if found is None or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write 8GB or 512MB")
    return int(float(found[1]) * {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}[found[2]])


def _tokens(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)

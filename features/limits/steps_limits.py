"""Steps about the limits of the window, the queue and the rate."""

from __future__ import annotations

import contextlib
import re
import secrets
import socket

import httpx
from pytest_bdd import given, parsers, then, when

from features.harness.scene.scene import Scene
from features.harness.scene.window import count_of, fill_prompt, longest_answer_of, window_of
from features.harness.target.target import TargetServer
from features.harness.verdicts.skips import skip_disabled
from features.harness.wire.anthropic_sdk import official_sdk
from features.harness.wire.client import MESSAGES, Client
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.refusals import error_in
from features.harness.wire.replies import prompt_tokens
from features.harness.wire.transcript import Transcript

_TOO_LONG = re.compile(
    r"input length and `max_tokens` exceed context limit: (\d+) \+ (\d+) > (\d+)"
    r"(, decrease input length or `max_tokens` and try again)?"
)
_MAX_STREAMS = 300  # a longer queue does not count as a limit
_QUESTION = "Say hello to the world."


@given("a server that allows three requests a minute")
def a_server_that_allows_three_requests(
    scene: Scene, rate_limited_target: TargetServer, transcript: Transcript
) -> None:
    scene.client = Client(rate_limited_target, transcript)


@given("a machine whose clients have addresses of their own")
def a_machine_whose_clients_have_addresses(scene: Scene) -> None:
    if _is_on_loopback(scene.client.target.url) and _new_address(scene.client.target.url) is None:
        skip_disabled("servers may identify clients by their address, and this machine has one address on loopback")


@given(parsers.parse("the server under test, with a window of at most {number:d} tokens"))
def the_server_with_a_small_window(scene: Scene, target: TargetServer, transcript: Transcript, number: int) -> None:
    scene.client = Client(target, transcript)
    if (window := window_of(scene.client)) > number:
        skip_disabled(f"filling a window of {window} tokens takes long, and other scenarios fill the script's")


@given("its prompt and max_tokens together exceed the model's window")
def its_prompt_and_max_tokens_exceed_the_window(scene: Scene) -> None:
    """Where a model limits max_tokens itself, the prompt has to be long."""
    window, max_tokens = window_of(scene.client), longest_answer_of(scene.client)
    scene.body["max_tokens"] = max_tokens
    if count_of(scene.client, scene.body) + max_tokens <= window:
        fill_prompt(scene.client, scene.body, window - max_tokens + 50)


@given(parsers.parse("its prompt leaves {number:d} tokens of the model's window"))
def its_prompt_leaves_tokens(scene: Scene, number: int) -> None:
    fill_prompt(scene.client, scene.body, window_of(scene.client) - number)


@given("its max_tokens fills the rest of the model's window")
def its_max_tokens_fills_the_window(scene: Scene) -> None:
    room = window_of(scene.client) - count_of(scene.client, scene.body)
    scene.body["max_tokens"] = min(room, longest_answer_of(scene.client))


@when("it is streamed repeatedly until a request is refused")
def it_is_streamed_until_one_is_refused(scene: Scene) -> None:
    with contextlib.ExitStack() as open_streams:
        for _ in range(_MAX_STREAMS):
            live = open_streams.enter_context(scene.client.open_stream(scene.body))
            if live.response.status_code != 200:
                scene.last = live.refusal()
                return
    raise AssertionError(f"expected a refusal with {_MAX_STREAMS} concurrent streams\n  actual none")


@when(parsers.parse("a new client sends it {number:d} times"))
def a_new_client_sends_it(scene: Scene, number: int) -> None:
    """It has a random key and, where the server is on loopback, an address of its own. If the server requires a certain
    key, all requests come from one client.
    """
    if scene.client.target.api_key is not None:
        skip_disabled("clients are identified by their keys, and this server accepts only one key")
    scene.client.local_address = _new_address(scene.client.target.url)
    headers = {"x-api-key": secrets.token_hex(8)}
    scene.replies_in_turn = [scene.client.send("POST", MESSAGES, scene.body, headers=headers) for _ in range(number)]
    scene.last = scene.replies_in_turn[-1]


@when(parsers.parse("the SDK sends {number:d} requests"))
def the_sdk_sends_requests(scene: Scene, number: int) -> None:
    import anthropic  # noqa: PLC0415 - an extra, and slow to import

    scene.sdk_error = None
    target = scene.client.target
    with official_sdk(target, secrets.token_hex(8), local_address=_new_address(target.url)) as sdk:
        try:
            for _ in range(number):
                messages = [{"role": "user", "content": _QUESTION}]
                sdk.messages.create(model=scene.client.model, max_tokens=2, messages=messages)  # type: ignore[arg-type]
        except anthropic.APIStatusError as error:
            scene.sdk_error = error


@then(parsers.parse("{number:d} of the replies are messages"))
def some_replies_are_messages(scene: Scene, number: int) -> None:
    statuses = [reply.status for reply in scene.replies_in_turn]
    expect_equal(statuses.count(200), number, f"the number of messages in {statuses}")


@then(parsers.parse("its retry-after is between {shortest:d} and {longest:d} seconds"))
def its_retry_after_is_between(scene: Scene, shortest: int, longest: int) -> None:
    seconds = scene.last.headers.get("retry-after", "")
    is_in_range = seconds.isascii() and seconds.isdigit() and shortest <= int(seconds) <= longest
    expect_that(is_in_range, f"the header retry-after to be a number from {shortest} to {longest}", seconds)


@then('it is answered, or the error says "input length and `max_tokens` exceed context limit: A + B > C"')
def it_is_answered_or_says_exceed_context_limit(scene: Scene) -> None:
    if scene.last.status == 200:
        return
    prompt, answer, window = _figures(scene)
    expect_that(prompt + answer > window, f"A + B to be over {window}", (prompt, answer))


@then("in an error A is the prompt's token count, B its max_tokens and C the window")
def the_figures_are_true(scene: Scene) -> None:
    if scene.last.status != 200:
        expected = (count_of(scene.client, scene.body), scene.body["max_tokens"], window_of(scene.client))
        expect_equal(_figures(scene), expected, "A, B and C")


@then(parsers.parse("the {what} is a refusal, or fills the window and says so"))
def the_answer_fills_the_window_and_says_so(scene: Scene, what: str) -> None:
    if scene.last.status != 200:
        it_is_answered_or_says_exceed_context_limit(scene)
        return
    message = getattr(scene, what).message()
    usage, reason = message["usage"], message["stop_reason"]
    window, num_tokens = window_of(scene.client), prompt_tokens(usage) + usage["output_tokens"]
    expect_that(num_tokens <= window, f"prompt and answer to have at most {window} tokens", usage)
    if reason in ("end_turn", "stop_sequence", "refusal"):
        skip_disabled(f"the model ended its answer by itself ({reason}), so that the window was not filled")
    expect_equal(reason, "model_context_window_exceeded", "stop_reason")


def _figures(scene: Scene) -> tuple[int, int, int]:
    expect_equal(scene.last.status, 400, "the status")
    error = error_in(scene.last)
    expect_equal(error["type"], "invalid_request_error", "error.type")
    match = _TOO_LONG.fullmatch(error["message"])
    expected = 'error.message to say "input length and `max_tokens` exceed context limit: A + B > C" and nothing else'
    expect_that(match, expected, error["message"])
    return (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)


def _new_address(url: str) -> str | None:
    """An address on loopback that no client has had yet, or None if the server is elsewhere or there is only one."""
    if not _is_on_loopback(url):
        return None
    address = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(256)}.{secrets.randbelow(254) + 1}"
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:  # macOS has 127.0.0.1 alone
            return None
    return address


def _is_on_loopback(url: str) -> bool:
    return httpx.URL(url).host in ("localhost", "127.0.0.1")

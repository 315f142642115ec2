"""Steps about the limits of the window, the queue and the rate."""

from __future__ import annotations

import contextlib
import re
import secrets

from pytest_bdd import given, parsers, then, when

from features.harness.scene.scene import Scene, count_request
from features.harness.target.target import TargetServer
from features.harness.verdicts.skips import skip_disabled
from features.harness.wire.anthropic_sdk import official_sdk
from features.harness.wire.client import COUNT_TOKENS, MESSAGES, Client
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.transcript import Transcript

_TOO_LONG = re.compile(r"input length and `?max_tokens`? exceed context limit: (\d+) \+ (\d+) > (\d+)")
_MAX_STREAMS = 300  # a longer queue does not count as a limit
_QUESTION = "Say hello to the world."


@given("a server that allows three requests a minute")
def a_server_that_allows_three_requests(
    scene: Scene, rate_limited_target: TargetServer, transcript: Transcript
) -> None:
    scene.client = Client(rate_limited_target, transcript)


@given("its max_tokens equals the model's window")
def its_max_tokens_equals_the_window(scene: Scene) -> None:
    scene.body["max_tokens"] = _window(scene)


@given("its max_tokens fills the rest of the model's window")
def its_max_tokens_fills_the_window(scene: Scene) -> None:
    count = scene.client.post(count_request(scene.body), COUNT_TOKENS).message()["input_tokens"]
    scene.body["max_tokens"] = _window(scene) - count


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
    """A random key identifies the client. If the server requires a certain key, all requests come from one client."""
    if scene.client.target.api_key is not None:
        skip_disabled("clients are identified by their keys, and this server accepts only one key")
    headers = {"x-api-key": secrets.token_hex(8)}
    scene.replies_in_turn = [scene.client.send("POST", MESSAGES, scene.body, headers=headers) for _ in range(number)]
    scene.last = scene.replies_in_turn[-1]


@when(parsers.parse("the SDK sends {number:d} requests"))
def the_sdk_sends_requests(scene: Scene, number: int) -> None:
    import anthropic  # noqa: PLC0415 - an extra, and slow to import

    scene.sdk_error = None
    with official_sdk(scene.client.target, secrets.token_hex(8)) as sdk:
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


@then('the error says "input length and max_tokens exceed context limit: A + B > C"')
def the_error_says_exceed_context_limit(scene: Scene) -> None:
    prompt, answer, window = _figures(scene)
    expect_that(prompt + answer > window, f"A + B to be over {window}", (prompt, answer))


@then("A is the prompt's token count, B its max_tokens and C the window")
def the_figures_are_true(scene: Scene) -> None:
    count = scene.client.post(count_request(scene.body), COUNT_TOKENS).message()["input_tokens"]
    expect_equal(_figures(scene), (count, scene.body["max_tokens"], _window(scene)), "A, B and C")


def _figures(scene: Scene) -> tuple[int, int, int]:
    message = scene.last.json()["error"]["message"]
    match = _TOO_LONG.search(message)
    expected = 'error.message to say "input length and max_tokens exceed context limit: A + B > C"'
    expect_that(match, expected, message)
    return (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)


def _window(scene: Scene) -> int:
    window = scene.client.send("GET", f"/v1/models/{scene.client.model}").json().get("max_input_tokens")
    if not isinstance(window, int):
        skip_disabled("the model's window is unknown: /v1/models/{id} has no max_input_tokens")
    return window

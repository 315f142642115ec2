"""Steps that choose a server, build requests and send them."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from pytest_bdd import given, parsers, when

from features.harness.scene.scene import Scene, count_request, middle_of, plain_request, with_field, without_field
from features.harness.scene.window import window_of
from features.harness.target.target import TargetServer
from features.harness.wire.client import COUNT_TOKENS, MESSAGES, Client
from features.harness.wire.expectations import expect_that
from features.harness.wire.replies import text_of
from features.harness.wire.transcript import Transcript


@pytest.fixture
def scene() -> Scene:
    return Scene()


@given("the server under test")
def the_server_under_test(scene: Scene, target: TargetServer, transcript: Transcript) -> None:
    scene.client = Client(target, transcript)


@given("a server that plays the script")
def a_server_that_plays_the_script(scene: Scene, scripted_target: TargetServer, transcript: Transcript) -> None:
    scene.client = Client(scripted_target, transcript)


@given("a server that requires a key")
def a_server_that_requires_a_key(scene: Scene, guarded_target: TargetServer, transcript: Transcript) -> None:
    scene.client = Client(guarded_target, transcript)


@given("a request")
def a_request(scene: Scene) -> None:
    scene.body = plain_request(scene.client.model)


@given(parsers.parse('a request saying "{text}"'))
def a_request_saying(scene: Scene, text: str) -> None:
    scene.body = plain_request(scene.client.model, text)


@given("eight different requests")
def eight_different_requests(scene: Scene) -> None:
    subjects = (
        "the sea",
        "a cat",
        "bread",
        "the moon and its phases",
        "rain",
        "two old friends",
        "snow",
        "a long road",
    )
    scene.bodies = [plain_request(scene.client.model, f"Tell me a story about {subject}.") for subject in subjects]


@given(parsers.parse('its "{field}" is {literal}'))
def its_field_is(scene: Scene, field: str, literal: str) -> None:
    scene.body = with_field(scene.body, field, literal)


@given(parsers.parse('it has no "{field}"'))
def it_has_no_field(scene: Scene, field: str) -> None:
    scene.body = without_field(scene.body, field)


@given("its message is 33 megabytes long")
def its_message_is_33_megabytes_long(scene: Scene) -> None:
    scene.body["messages"][0]["content"] = "x" * 33_000_000 + "x" * 1_000_000  # over 32 MB, whether MB or MiB


@given("a prompt longer than the model's window")
def a_prompt_longer_than_the_window(scene: Scene) -> None:
    scene.body["messages"][0]["content"] = "word " * (window_of(scene.client) + 50)


@given(parsers.parse('another request whose "{field}" is {literal}'))
def another_request_whose_field_is(scene: Scene, field: str, literal: str) -> None:
    scene.other_body = with_field(scene.body, field, literal)


@when("it is sent")
def it_is_sent(scene: Scene) -> None:
    scene.take_reply(scene.client.post(scene.body))


@when(parsers.parse('it is sent to "{path}"'))
def it_is_sent_to(scene: Scene, path: str) -> None:
    scene.take_reply(scene.client.post(scene.body, path))


@when(parsers.parse('it is sent with the header "{header}"'))
def it_is_sent_with_the_header(scene: Scene, header: str) -> None:
    name, _, value = header.partition(":")
    scene.take_reply(scene.client.send("POST", MESSAGES, scene.body, headers={name: value.strip()}))


@when("it is sent in chunks")
def it_is_sent_in_chunks(scene: Scene) -> None:
    scene.take_reply(scene.client.send_in_chunks(scene.body))


@when("it is sent again")
def it_is_sent_again(scene: Scene) -> None:
    scene.other_reply = scene.last = scene.client.post(scene.body)


@when("it is sent twice")
def it_is_sent_twice(scene: Scene) -> None:
    it_is_sent(scene)
    it_is_sent_again(scene)


@when("both requests are sent")
def both_requests_are_sent(scene: Scene) -> None:
    it_is_sent(scene)
    scene.other_reply = scene.client.post(scene.other_body)


@when("they are sent one after another")
def they_are_sent_one_after_another(scene: Scene) -> None:
    scene.replies_in_turn = [scene.client.post(body) for body in scene.bodies]


@when("they are sent at the same time")
def they_are_sent_at_the_same_time(scene: Scene) -> None:
    with ThreadPoolExecutor(len(scene.bodies)) as pool:
        scene.replies_at_once = list(pool.map(scene.client.post, scene.bodies))


@when("it is streamed")
def it_is_streamed(scene: Scene) -> None:
    scene.take_stream(scene.client.stream(scene.body))


@when("its tokens are counted")
def its_tokens_are_counted(scene: Scene) -> None:
    scene.count = scene.last = scene.client.post(count_request(scene.body), COUNT_TOKENS)


@when(parsers.parse('its tokens are counted at "{path}"'))
def its_tokens_are_counted_at(scene: Scene, path: str) -> None:
    scene.count = scene.last = scene.client.post(count_request(scene.body), path)


@when("the tokens of both requests are counted")
def the_tokens_of_both_requests_are_counted(scene: Scene) -> None:
    its_tokens_are_counted(scene)
    scene.other_count = scene.client.post(count_request(scene.other_body), COUNT_TOKENS)


@when("it is sent again with a stop sequence from the middle of the answer")
def it_is_sent_again_with_a_stop_sequence(scene: Scene) -> None:
    scene.stop = middle_of(text_of(scene.reply.message()))
    scene.message = scene.client.post({**scene.body, "stop_sequences": [scene.stop]}).message()


@when("it is streamed with a stop sequence from the middle of the answer")
def it_is_streamed_with_a_stop_sequence(scene: Scene) -> None:
    scene.stop = middle_of(text_of(scene.reply.message()))
    scene.message = scene.client.stream({**scene.body, "stop_sequences": [scene.stop]}).message()


@when("the first half of the answer is sent back as an assistant turn")
def the_first_half_is_sent_back(scene: Scene) -> None:
    """Unchanged and up to the end of a word: different spaces would be different tokens and another answer."""
    text = text_of(scene.reply.message())
    words = list(re.finditer(r"\S+", text))
    expect_that(len(words) >= 2, "an answer of at least two words, to send half of it back", text)
    half = text[: words[len(words) // 2 - 1].end()]
    turns = [*scene.body["messages"], {"role": "assistant", "content": half}]
    scene.other_reply = scene.client.post({**scene.body, "messages": turns})
    scene.stop = half


@when(parsers.parse('the client calls "{method} {path}"'))
def the_client_calls(scene: Scene, method: str, path: str) -> None:
    """A POST is sent with an empty object as its body."""
    scene.last = scene.client.send(method, path, {} if method == "POST" else None)


@when(parsers.parse("the bytes {text} are sent"))
def the_bytes_are_sent(scene: Scene, text: str) -> None:
    scene.last = scene.client.send("POST", MESSAGES, content=text.encode())


@when(parsers.parse('the bytes {text} are sent to "{path}"'))
def the_bytes_are_sent_to(scene: Scene, text: str, path: str) -> None:
    scene.last = scene.client.send("POST", path, content=text.encode())


@when(parsers.parse("a body with {depth:d} nested arrays is sent"))
def a_body_with_nested_arrays_is_sent(scene: Scene, depth: int) -> None:
    scene.last = scene.client.send("POST", MESSAGES, content=b'{"messages": ' + b"[" * depth + b"]" * depth + b"}")


@when(parsers.parse("a body with a number of {digits:d} digits is sent"))
def a_body_with_a_long_number_is_sent(scene: Scene, digits: int) -> None:
    figure = '"max_tokens": '
    body = json.dumps({**scene.body, "max_tokens": 1}).replace(f"{figure}1", figure + "9" * digits)
    scene.last = scene.client.send("POST", MESSAGES, content=body.encode())


@when("an empty body is sent")
def an_empty_body_is_sent(scene: Scene) -> None:
    scene.last = scene.client.send("POST", MESSAGES, content=b"")


@when("bytes that are not UTF-8 are sent")
def bytes_that_are_not_utf8_are_sent(scene: Scene) -> None:
    scene.last = scene.client.send("POST", MESSAGES, content=b'{"model": "\xff\xfe", "max_tokens": 1, "messages": []}')

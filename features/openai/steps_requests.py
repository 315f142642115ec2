"""Steps that build and send requests to OpenAI's API."""

from __future__ import annotations

from pytest_bdd import given, parsers, then, when

from features.harness.scene.scene import Json, Scene, middle_of, plain_request, with_field, without_field
from features.harness.scene.toolbox import SCHEMAS, function
from features.harness.target.target import TargetServer
from features.harness.wire.chat import content_of
from features.harness.wire.client import OpenAIClient
from features.harness.wire.expectations import expect_equal, expect_that, read_json
from features.harness.wire.transcript import Transcript

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


@given("the server under test, called by an OpenAI client")
def the_server_called_by_an_openai_client(scene: Scene, target: TargetServer, transcript: Transcript) -> None:
    scene.client = OpenAIClient(target, transcript)


@given("a server that plays the script, called by an OpenAI client")
def a_scripted_server_called_by_an_openai_client(
    scene: Scene, scripted_target: TargetServer, transcript: Transcript
) -> None:
    scene.client = OpenAIClient(scripted_target, transcript)


@given("a chat request")
def a_chat_request(scene: Scene) -> None:
    scene.body = plain_request(scene.client.model)  # both APIs have these fields


@given("a completion request")
def a_completion_request(scene: Scene) -> None:
    scene.body = {"model": scene.client.model, "prompt": "Once upon a time", "max_tokens": 6, "temperature": 0}


@given(parsers.parse('the chat\'s "{field}" is {literal}'))
def the_chats_field_is(scene: Scene, field: str, literal: str) -> None:
    scene.body = with_field(scene.body, field, literal)


@given(parsers.parse('the chat has no "{field}"'))
def the_chat_has_no_field(scene: Scene, field: str) -> None:
    scene.body = without_field(scene.body, field)


@given(parsers.parse('another chat whose "{field}" is {literal}'))
def another_chat_whose_field_is(scene: Scene, field: str, literal: str) -> None:
    scene.other_body = with_field(scene.body, field, literal)


@given(parsers.parse('the chat offers the function "{name}" with the schema "{schema}"'))
def the_chat_offers_the_function(scene: Scene, name: str, schema: str) -> None:
    scene.body |= {"tools": [function(name, schema)], "max_tokens": 80}


@given(parsers.parse('the chat\'s answer must match the schema "{schema}"'))
def the_chats_answer_must_match(scene: Scene, schema: str) -> None:
    json_schema = {"name": schema, "schema": SCHEMAS[schema], "strict": True}
    scene.body["response_format"] = {"type": "json_schema", "json_schema": json_schema}


@when("the chat is sent")
def the_chat_is_sent(scene: Scene) -> None:
    scene.take_reply(scene.client.post(scene.body, CHAT))


@when("the chat is sent twice")
def the_chat_is_sent_twice(scene: Scene) -> None:
    the_chat_is_sent(scene)
    scene.other_reply = scene.client.post(scene.body, CHAT)


@when("both chats are sent")
def both_chats_are_sent(scene: Scene) -> None:
    the_chat_is_sent(scene)
    scene.other_reply = scene.client.post(scene.other_body, CHAT)


@when("the chat is sent without stream_options")
def the_chat_is_sent_without_stream_options(scene: Scene) -> None:
    scene.take_reply(scene.client.post(without_field(scene.body, "stream_options"), CHAT))


@when("the chat is streamed")
def the_chat_is_streamed(scene: Scene) -> None:
    scene.take_stream(scene.client.stream(scene.body, CHAT))


@when(parsers.parse("the chat is sent with a stop sequence from the middle of the answer, as {form}"))
def the_chat_is_sent_with_a_stop_sequence(scene: Scene, form: str) -> None:
    scene.stop = middle_of(content_of(scene.reply.message()))
    stop = [scene.stop] if form == "a list" else scene.stop
    scene.other_reply = scene.client.post({**scene.body, "stop": stop}, CHAT)


@when("the completion is sent")
def the_completion_is_sent(scene: Scene) -> None:
    scene.take_reply(scene.client.post(scene.body, COMPLETIONS))


@when("the completion is streamed")
def the_completion_is_streamed(scene: Scene) -> None:
    scene.take_stream(scene.client.stream(scene.body, COMPLETIONS))


@when(parsers.parse('an empty object is sent to "{path}"'))
def an_empty_object_is_sent_to(scene: Scene, path: str) -> None:
    scene.last = scene.client.post({}, path)


@then("it is refused in OpenAI's format")
def it_is_refused(scene: Scene) -> None:
    expect_that(400 <= scene.last.status < 500, "a status from 400 to 499", scene.last.status)
    it_is_refused_in_openais_format(scene, scene.last.status)


@then(parsers.parse('the answer has {number:d} choices, or the refusal names "{word}"'))
def the_answer_has_choices(scene: Scene, number: int, word: str) -> None:
    if scene.last.status == 200:
        expect_equal(len(scene.last.message()["choices"]), number, "the number of choices")
    else:
        the_refusal_names(scene, word)


@then(parsers.parse('the answer has log probabilities, or the refusal names "{word}"'))
def the_answer_has_log_probabilities(scene: Scene, word: str) -> None:
    if scene.last.status == 200:
        (choice,) = scene.last.message()["choices"]
        expect_that(choice.get("logprobs"), "log probabilities in the choice", choice)
    else:
        the_refusal_names(scene, word)


@then(parsers.parse("it is refused in OpenAI's format with status {status:d}"))
def it_is_refused_in_openais_format(scene: Scene, status: int) -> None:
    expect_equal(scene.last.status, status, "the status")
    error = _error(scene)
    for name in ("message", "type"):
        expect_that(isinstance(error[name], str) and error[name], f"error.{name} to be a string", error)
    for name in ("param", "code"):
        expect_that(name in error and isinstance(error[name], str | None), f"error.{name}, a string or null", error)


@then(parsers.parse('it is answered, or refused with another code than "{code}"'))
def it_is_answered_or_refused_with_another_code(scene: Scene, code: str) -> None:
    if scene.last.status != 200:
        it_is_refused_in_openais_format(scene, 400)
        error = _error(scene)
        expect_that(error["code"] != code, f"error.code to be another than {code}", error)


@then(parsers.parse('the refusal names "{word}"'))
def the_refusal_names(scene: Scene, word: str) -> None:
    error = _error(scene)
    expect_that(word in f"{error['message']} {error.get('param')}", f"the message or param to name {word}", error)


def _error(scene: Scene) -> Json:
    try:
        body = read_json(scene.last.body)
    except ValueError:
        body = None
    has_form = isinstance(body, dict) and isinstance(body.get("error"), dict)
    expect_that(has_form, "an object with an error", scene.last.body)
    error: Json = body["error"] if body is not None else {}
    return error

"""Steps about OpenAI's completions and chunks."""

from __future__ import annotations

from typing import Any

from pytest_bdd import parsers, then

from features.harness.scene.scene import Json, Scene
from features.harness.scene.toolbox import expect_valid
from features.harness.wire.chat import (
    DONE,
    answer_in,
    answer_in_chunks,
    calls_of_choice,
    choice_of,
    chunks_of,
    content_of,
)
from features.harness.wire.expectations import expect_equal, expect_that, read_json

_REASONS = ("stop", "length", "tool_calls", "content_filter", "function_call")
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


@then("the answer is a chat completion")
def the_answer_is_a_chat_completion(scene: Scene) -> None:
    completion = scene.reply.message()
    _expect_envelope(completion, "chat.completion")
    message = choice_of(completion)["message"]
    expect_equal(message["role"], "assistant", "role")
    expect_that(isinstance(message["content"], str), "content to be a string", message)


@then("the answer is a completion")
def the_answer_is_a_completion(scene: Scene) -> None:
    completion = scene.reply.message()
    _expect_envelope(completion, "text_completion")
    expect_that(isinstance(choice_of(completion)["text"], str), "a text", completion)


@then(parsers.parse("its usage adds up, with {smallest:d} to {largest:d} completion tokens"))
def its_usage_adds_up(scene: Scene, smallest: int, largest: int) -> None:
    usage = scene.reply.message()["usage"]
    counts = [usage[name] for name in _COUNTS]
    expect_that(all(type(count) is int for count in counts), "counts", usage)
    expect_equal(counts[0] + counts[1], counts[2], "prompt and completion together")
    expect_that(
        counts[0] > 0 and smallest <= counts[1] <= largest, f"a prompt and {smallest} to {largest} tokens", usage
    )


@then("its usage has reasoning tokens, but fewer than completion tokens")
def its_usage_has_reasoning_tokens(scene: Scene) -> None:
    usage = scene.reply.message()["usage"]
    tokens = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    expect_that(type(tokens) is int and 0 < tokens < usage["completion_tokens"], "reasoning_tokens", usage)


@then(parsers.parse('the chat\'s finish reason is "{reason}"'))
def the_chats_finish_reason_is(scene: Scene, reason: str) -> None:
    expect_equal(choice_of(scene.reply.message())["finish_reason"], reason, "finish_reason")


@then(parsers.parse('the chat\'s text is "{text}"'))
def the_chats_text_is(scene: Scene, text: str) -> None:
    content = choice_of(scene.reply.message())["message"]["content"]
    expect_equal((content or "").strip(), text, "the content")


@then("both chats have the same answer")
def both_chats_have_the_same_answer(scene: Scene) -> None:
    one, other = scene.reply.message(), scene.other_reply.message()
    expect_equal(answer_in(other), answer_in(one), "the same answer")
    expect_equal(other["usage"]["prompt_tokens"], one["usage"]["prompt_tokens"], "the same prompt_tokens")


@then("the chat ended before the stop sequence")
def the_chat_ended_before_the_stop_sequence(scene: Scene) -> None:
    whole, ended = scene.reply.message(), scene.other_reply.message()
    expect_equal(choice_of(ended)["finish_reason"], "stop", "finish_reason")
    before, _, _ = content_of(whole).partition(scene.stop)
    expect_equal(content_of(ended).rstrip(), before.rstrip(), "the content")


@then("the stream consists of chunks of one completion")
def the_stream_consists_of_chunks(scene: Scene) -> None:
    chunks = chunks_of(scene.stream)
    for chunk in chunks:
        _expect_envelope(chunk, "chat.completion.chunk", finished=False)
    expect_equal(len({chunk["id"] for chunk in chunks}), 1, "the number of ids")
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    expect_equal(choices[0]["delta"].get("role"), "assistant", "the role in the first delta")
    reasons = [choice["finish_reason"] for choice in choices]
    expect_that(reasons[-1] in _REASONS, f"the last finish_reason to be one of {_REASONS}", reasons)
    expect_equal([reason for reason in reasons[:-1] if reason is not None], [], "the reasons before")


@then("the stream's last event is [DONE]")
def the_streams_last_event_is_done(scene: Scene) -> None:
    places = [place for place, event in enumerate(scene.stream.events) if event.data == DONE]
    expect_equal(places, [len(scene.stream.events) - 1], "the places of [DONE] among the events")


@then("the chunks add up to the completion")
def the_chunks_add_up(scene: Scene) -> None:
    expect_equal(
        answer_in_chunks(chunks_of(scene.stream)), answer_in(scene.reply.message()), "what the chunks add up to"
    )


@then("the last chunk has the completion's usage and no choices")
def the_last_chunk_has_the_usage(scene: Scene) -> None:
    *others, last = chunks_of(scene.stream)
    expect_equal(last["choices"], [], "the choices of the last chunk")
    used, streamed = scene.reply.message()["usage"], last["usage"]
    expect_equal([streamed[name] for name in _COUNTS], [used[name] for name in _COUNTS], "the usage")
    expect_equal([chunk.get("usage") for chunk in others if chunk.get("usage")], [], "the usage of other chunks")


@then("every chunk has a choice")
def every_chunk_has_a_choice(scene: Scene) -> None:
    for chunk in chunks_of(scene.stream):
        expect_equal(len(chunk["choices"]), 1, "the number of choices")


@then("the chunks' texts join to the completion's text")
def the_chunks_texts_join(scene: Scene) -> None:
    texts = [choice["text"] for chunk in chunks_of(scene.stream) for choice in chunk["choices"]]
    expect_equal("".join(texts), choice_of(scene.reply.message())["text"], "the joined texts")


@then("every call matches its function's schema")
def every_call_matches_its_schema(scene: Scene) -> None:
    calls = calls_of_choice(scene.reply.message())
    expect_that(calls, "a call", scene.reply.message())
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in scene.body["tools"]}
    for call in calls:
        expect_equal(call["type"], "function", "the type of the call")
        expect_that(isinstance(call["id"], str) and call["id"], "an id", call)
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        expect_that(name in schemas, f"a name from {list(schemas)}", call)
        expect_valid(_parsed(arguments), schemas[name], f"the arguments of {name}")


@then("no function is called")
def no_function_is_called(scene: Scene) -> None:
    expect_equal(calls_of_choice(scene.reply.message()), [], "the calls")


@then("its content is JSON that matches the schema")
def its_content_is_json(scene: Scene) -> None:
    schema = scene.body["response_format"]["json_schema"]["schema"]
    expect_valid(_parsed(content_of(scene.reply.message())), schema, "the content")


@then("its content is a JSON object, or is cut off inside one")
def its_content_is_a_json_object(scene: Scene) -> None:
    completion = scene.reply.message()
    content = content_of(completion).strip()
    if choice_of(completion)["finish_reason"] == "length":
        expect_that(content.startswith("{"), "the beginning of an object", content)
    else:
        expect_that(isinstance(_parsed(content), dict), "a JSON object", content)


@then("the answer is a list of models in OpenAI's format")
def the_answer_is_a_list_of_models(scene: Scene) -> None:
    listed = scene.last.message()
    expect_equal(listed["object"], "list", "object")
    expect_that(listed["data"], "a model", listed)
    for model in listed["data"]:
        _expect_model(model)


@then("the answer is a model in OpenAI's format")
def the_answer_is_a_model(scene: Scene) -> None:
    model = scene.last.message()
    _expect_model(model)
    expect_equal(model["id"], scene.client.model, "id")


def _expect_model(model: Json) -> None:
    expect_equal(model["object"], "model", "object")
    expect_equal(type(model["created"]), int, "the type of created")
    for name in ("id", "owned_by"):
        expect_that(isinstance(model[name], str) and model[name], f"{name} to be a string", model)


def _expect_envelope(completion: Json, kind: str, *, finished: bool = True) -> None:
    expect_equal(completion["object"], kind, "object")
    expect_equal(type(completion["created"]), int, "the type of created")
    for name in ("id", "model"):
        expect_that(isinstance(completion[name], str) and completion[name], f"{name} to be a string", completion)
    for choice in completion["choices"]:
        expect_equal(choice["index"], 0, "the choice's index")
    if finished:
        reason = choice_of(completion)["finish_reason"]
        expect_that(reason in _REASONS, f"finish_reason to be one of {_REASONS}", reason)
        expect_that(completion["usage"], "usage", completion)


def _parsed(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        raise AssertionError(f"expected JSON\n  actual {text!r}") from None

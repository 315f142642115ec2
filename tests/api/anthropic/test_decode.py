import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Prompt, Role, Sampling
from pensieve.api.anthropic.decode import decode_count, decode_messages
from pensieve.core.errors import ValidationError

VALID: dict[str, Any] = {"model": "m", "max_tokens": 8, "messages": [{"role": "user", "content": "Hi"}]}


def body(**fields: object) -> bytes:
    return json.dumps({**VALID, **fields}).encode()


def refusal(data: bytes) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        decode_messages(data)
    return caught.value


def test_the_smallest_request_leaves_all_else_to_the_model() -> None:
    decoded = decode_messages(body())
    assert decoded.generation == GenerationRequest((ChatMessage(Role.USER, "Hi"),), 8, Sampling(), ())
    assert (decoded.model_name, decoded.stream) == ("m", False)


def test_every_field_reaches_the_request() -> None:
    decoded = decode_messages(
        body(
            system=[
                {"type": "text", "text": "Be", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "kind"},
            ],
            temperature=0,
            top_p=0.5,
            top_k=3,
            stop_sequences=["a", "b", "a"],
            stream=True,
            metadata={"user_id": "u"},
            service_tier="auto",
        )
    )
    assert decoded.generation.messages[0] == ChatMessage(Role.SYSTEM, "Be\n\nkind", cache_ttl_seconds=300)
    assert decoded.generation.sampling == Sampling(0.0, 0.5, 3)
    assert decoded.generation.stop_sequences == ("a", "b")
    assert decoded.stream


def test_a_string_and_one_text_block_are_the_same() -> None:
    blocks = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert decode_messages(body(messages=blocks)) == decode_messages(body())


def test_a_top_k_of_0_is_said_and_not_left_to_the_model() -> None:
    assert decode_messages(body(top_k=0)).generation.sampling == Sampling(top_k=0)
    assert decode_messages(body(top_k=None, temperature=None)).generation.sampling == Sampling()


def test_parameters_that_the_api_does_not_have_are_ignored() -> None:
    assert decode_messages(body(min_p=0.5, repetition_penalty=2.0)).generation.sampling == Sampling()


def test_system_messages_stay_in_their_place() -> None:
    messages = [*VALID["messages"], {"role": "system", "content": "Note"}, {"role": "user", "content": "Go"}]
    assert [m.role for m in decode_messages(body(messages=messages)).generation.messages] == [
        Role.USER,
        Role.SYSTEM,
        Role.USER,
    ]


def test_what_is_not_known_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        decoded = decode_messages(
            body(
                context_management={"edits": [{"type": "clear_tool_uses_20250919", "trigger": {}}], "x": 1},
                messages=[{"role": "user", "content": [{"type": "hologram", "x": 1}, {"type": "text", "text": "Hi"}]}],
            )
        )
    assert decoded.generation.messages == (ChatMessage(Role.USER, "Hi"),)
    assert [record for record in caplog.records if "hologram" in record.getMessage()]


def test_a_count_needs_no_figures() -> None:
    prompt = Prompt((ChatMessage(Role.USER, "Hi"),))
    assert decode_count(b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}') == (prompt, "m")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text.text"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "8"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": [""]}, "stop_sequences.0"),
        ({"stream": "yes"}, "stream"),
        ({"system": 5}, "system"),
        ({"metadata": "me"}, "metadata"),
        ({"service_tier": "gold"}, "service_tier"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, object], path: str) -> None:
    error = refusal(body(**fields))
    assert error.field == path
    assert str(error).startswith(f"{path}: ")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"model": "\\ud800"}', b"[" * 100_000])
def test_what_is_no_json_is_said_to_be_none(data: bytes) -> None:
    assert "not valid JSON" in str(refusal(data))


@pytest.mark.parametrize("data", [b"[]", b"5", b"null", b'"x"'])
def test_json_that_is_no_object_is_said_to_be_none(data: bytes) -> None:
    assert "JSON object" in str(refusal(data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from([*VALID, "system", "temperature", "top_p", "top_k", "stop_sequences", "stream", "metadata"]),
        JSON,
    )
)
def test_any_json_is_decoded_or_refused_by_a_field(fields: dict[str, object]) -> None:
    try:
        decode_messages(body(**fields))
    except ValidationError as error:
        assert error.field  # noqa: PT017 - both outcomes are right; a third would be an error of its own


EPHEMERAL = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def ttls(**fields: object) -> list[int | None]:
    return [message.cache_ttl_seconds for message in decode_messages(body(**fields)).generation.messages]


def text_block(text: str, cache_control: object = None) -> dict[str, object]:
    return {"type": "text", "text": text, "cache_control": cache_control}


def test_a_marker_marks_the_end_of_its_turn_whichever_block_it_stands_on() -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}, "cache_control": HOUR}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [text_block("ok", EPHEMERAL)]}
    messages = [
        {"role": "user", "content": [text_block("a", EPHEMERAL), text_block("b")]},
        {"role": "system", "content": [text_block("note", HOUR)]},
        {"role": "assistant", "content": [text_block("c", EPHEMERAL), call]},
        {"role": "user", "content": [result, text_block("d")]},
        {"role": "assistant", "content": "e"},
    ]
    assert ttls(messages=messages) == [300, 3600, 3600, 300, None, None]


def test_a_marker_on_system_text_on_tools_or_on_the_request_finds_its_turn() -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}, "cache_control": HOUR}
    assert ttls(system=[text_block("s", EPHEMERAL), text_block("t")]) == [300, None]
    assert ttls(system="s", tools=[tool]) == [3600, None]
    assert ttls(tools=[tool]) == [None]
    assert ttls(system="s", cache_control=EPHEMERAL) == [None, 300]


@pytest.mark.parametrize("wrong", [7, "x", [], {}, {"type": "eternal"}, {"ttl": 5}, {"type": "ephemeral", "ttl": "9w"}])
def test_a_wrong_marker_is_never_refused(wrong: object) -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}, "cache_control": wrong}
    blocks = [text_block("a", wrong), {"type": "hologram", "cache_control": wrong}]
    decoded = decode_messages(body(system=blocks, tools=[tool], cache_control=wrong, messages=[user_of(blocks)]))
    assert [message.text for message in decoded.generation.messages] == ["a", "a"]


def user_of(blocks: list[dict[str, object]]) -> dict[str, object]:
    return {"role": "user", "content": blocks}


def test_a_system_message_of_nothing_but_what_changes_by_itself_is_left_out() -> None:
    note = {"role": "system", "content": "<total_tokens>12 left</total_tokens>"}
    assert decode_messages(body(messages=[*VALID["messages"], note])) == decode_messages(body())
    billing = [text_block("x-anthropic-billing-header: cc_version=1.abc;")]
    assert decode_messages(body(system=billing)) == decode_messages(body())


def test_what_a_user_says_is_left_as_it_is() -> None:
    said = "x-anthropic-billing-header: <total_tokens>12 left</total_tokens>"
    assert decode_messages(body(messages=[{"role": "user", "content": said}])).generation.messages[0].text == said

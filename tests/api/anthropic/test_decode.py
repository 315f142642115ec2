"""Decoding of Messages requests: what reaches the engine, and which field an error names."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Prompt, Role, Sampling
from pensieve.api.anthropic.decode import DecodedCount, decode_count, decode_messages
from pensieve.core.errors import ValidationError

VALID: dict[str, Any] = {"model": "m", "max_tokens": 8, "messages": [{"role": "user", "content": "Hi"}]}


def body(**fields: object) -> bytes:
    return json.dumps({**VALID, **fields}).encode()


def decode_error(data: bytes) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        decode_messages(data)
    return caught.value


def test_a_minimal_request_leaves_everything_else_to_the_model() -> None:
    decoded = decode_messages(body())
    assert decoded.generation == GenerationRequest((ChatMessage(Role.USER, "Hi"),), 8, Sampling(), ())
    assert (decoded.model_name, decoded.stream) == ("m", False)


def test_every_field_reaches_the_generation_request() -> None:
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


def test_a_string_and_a_single_text_block_mean_the_same() -> None:
    blocks = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert decode_messages(body(messages=blocks)) == decode_messages(body())


def test_a_top_k_of_0_overrides_the_default_of_the_model() -> None:
    assert decode_messages(body(top_k=0)).generation.sampling == Sampling(top_k=0)
    assert decode_messages(body(top_k=None, temperature=None)).generation.sampling == Sampling()


def test_sampling_parameters_outside_the_api_are_ignored() -> None:
    assert decode_messages(body(min_p=0.5, repetition_penalty=2.0)).generation.sampling == Sampling()


def test_system_messages_keep_their_position() -> None:
    messages = [*VALID["messages"], {"role": "system", "content": "Note"}, {"role": "user", "content": "Go"}]
    assert [m.role for m in decode_messages(body(messages=messages)).generation.messages] == [
        Role.USER,
        Role.SYSTEM,
        Role.USER,
    ]


def test_unknown_blocks_leave_placeholders_and_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    holograms = [{"type": f"hologram-{number % 20:02}", "x": 1} for number in range(9_999)]
    with caplog.at_level(logging.WARNING):
        turns = decode_messages(body(messages=[user_message([*holograms, text_block("Hi")])])).generation.messages
    assert turns[0].text.startswith("[a block of type hologram-00, which this model cannot read]\n\n[a block of type ")
    assert turns[0].text.endswith("\n\nHi")
    (line,) = (record.getMessage() for record in caplog.records)
    assert "hologram-00, hologram-01" in line
    assert len(line) < 500


def test_a_count_needs_no_max_tokens() -> None:
    prompt = Prompt((ChatMessage(Role.USER, "Hi"),))
    assert decode_count(b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}') == DecodedCount(prompt, "m")


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
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 10**18}, "max_tokens"),
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
def test_an_error_names_the_field(fields: dict[str, object], path: str) -> None:
    error = decode_error(body(**fields))
    assert error.field == path
    assert str(error).startswith(f"{path}: ")


def test_an_image_is_refused_in_the_words_that_clients_know() -> None:
    image: dict[str, object] = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "bm8="},
    }
    error = decode_error(body(messages=[user_message([text_block("Look"), image])]))
    assert str(error).startswith("Could not process image: messages.0.content.1: this model reads text only")
    assert error.field == "messages.0.content.1"
    assert str(decode_error(body(system=[image]))).startswith("Could not process image: system.0: ")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"model": "\\ud800"}', b"[" * 100_000])
def test_invalid_json_is_refused(data: bytes) -> None:
    assert "not valid JSON" in str(decode_error(data))


@pytest.mark.parametrize("data", [b"[]", b"5", b"null", b'"x"'])
def test_json_other_than_an_object_is_refused(data: bytes) -> None:
    assert "JSON object" in str(decode_error(data))


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
def test_any_json_is_decoded_or_refused_with_a_field(fields: dict[str, object]) -> None:
    try:
        decode_messages(body(**fields))
    except ValidationError as error:
        assert error.field  # noqa: PT017 - both outcomes are valid


EPHEMERAL = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def ttls(**fields: object) -> list[int | None]:
    return [message.cache_ttl_seconds for message in decode_messages(body(**fields)).generation.messages]


def text_block(text: str, cache_control: object = None) -> dict[str, object]:
    return {"type": "text", "text": text, "cache_control": cache_control}


def test_cache_control_on_any_block_applies_to_its_turn() -> None:
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


def test_cache_control_on_system_tools_or_request_applies_to_the_right_turn() -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}, "cache_control": HOUR}
    assert ttls(system=[text_block("s", EPHEMERAL), text_block("t")]) == [300, None]
    assert ttls(system="s", tools=[tool]) == [3600, None]
    assert ttls(tools=[tool]) == [None]
    assert ttls(system="s", cache_control=EPHEMERAL) == [None, 300]


@pytest.mark.parametrize("wrong", [7, "x", [], {}, {"type": "eternal"}, {"ttl": 5}, {"type": "ephemeral", "ttl": "9w"}])
def test_an_invalid_cache_control_is_never_refused(wrong: object) -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}, "cache_control": wrong}
    blocks = [text_block("a", wrong), {"type": "hologram", "cache_control": wrong}]
    decoded = decode_messages(body(system=blocks, tools=[tool], cache_control=wrong, messages=[user_message(blocks)]))
    assert [message.text[:1] for message in decoded.generation.messages] == ["a", "a"]


def user_message(blocks: list[dict[str, object]]) -> dict[str, object]:
    return {"role": "user", "content": blocks}


def test_a_system_message_with_only_volatile_text_is_dropped() -> None:
    note = {"role": "system", "content": "<total_tokens>12 left</total_tokens>"}
    assert decode_messages(body(messages=[*VALID["messages"], note])) == decode_messages(body())
    billing = [text_block("x-anthropic-billing-header: cc_version=1.abc;")]
    assert decode_messages(body(system=billing)) == decode_messages(body())


def test_user_text_is_never_canonicalised() -> None:
    text = "x-anthropic-billing-header: <total_tokens>12 left</total_tokens>"
    assert decode_messages(body(messages=[{"role": "user", "content": text}])).generation.messages[0].text == text

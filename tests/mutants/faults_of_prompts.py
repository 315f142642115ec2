"""One fault a function: servers that are wrong about what they computed of a prompt, or make prompts differ."""

from __future__ import annotations

from tests.mutants.wire import Answer, Call, Json


def nothing_is_told_of_the_cache(call: Call, answer: Answer) -> Answer:
    return answer.with_json(lambda body: _moved(body, "cache_read_input_tokens", "input_tokens"))


def all_is_called_read(call: Call, answer: Answer) -> Answer:
    def boasts(body: Json) -> Json:
        written = _moved(body, "cache_creation_input_tokens", "cache_read_input_tokens")
        return _moved(written, "input_tokens", "cache_read_input_tokens")

    return answer.with_json(boasts)


def times_to_live_that_do_not_add_up(call: Call, answer: Answer) -> Answer:
    def miscounts(body: Json) -> Json:
        told = body.get("usage", {}).get("cache_creation")
        if told:
            told["ephemeral_1h_input_tokens"] += 1
        return body

    return answer.with_json(miscounts)


def billing_line_as_prompt(call: Call) -> Call:
    def told(body: Json) -> Json:
        for block in body["system"] if isinstance(body.get("system"), list) else []:
            block["text"] = block["text"].replace("x-anthropic-billing-header", "billing-header")
        return body

    return call.with_json(told)


def breakpoints_as_text(call: Call) -> Call:
    """`cache_control` is written into the prompt."""

    def told(body: Json) -> Json:
        for message in body.get("messages", []):
            for block in message["content"] if isinstance(message.get("content"), list) else []:
                if "cache_control" in block:
                    block["text"] += f" {block['cache_control']}"
        return body

    return call.with_json(told)


def _moved(body: Json, source: str, to: str) -> Json:
    usage = body.get("usage", {})
    if source in usage:
        usage[to] = usage.get(to, 0) + usage[source]
        usage[source] = 0
    return body

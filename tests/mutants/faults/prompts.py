"""Faults in the reported prompt cache and in what becomes part of the prompt, one per function."""

from __future__ import annotations

from dataclasses import replace

from tests.mutants.mutant import KEYS
from tests.mutants.wire import Json, ProxiedAnswer, ProxiedCall


def cache_not_reported(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer.with_json(lambda body: _moved(body, "cache_read_input_tokens", "input_tokens"))


def everything_reported_as_read(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    def boasts(body: Json) -> Json:
        written = _moved(body, "cache_creation_input_tokens", "cache_read_input_tokens")
        return _moved(written, "input_tokens", "cache_read_input_tokens")

    return answer.with_json(boasts)


def wrong_times_to_live(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    def miscounts(body: Json) -> Json:
        cache_creation = body.get("usage", {}).get("cache_creation")
        if cache_creation:
            cache_creation["ephemeral_1h_input_tokens"] += 1
        return body

    return answer.with_json(miscounts)


def one_cache_for_all_keys(call: ProxiedCall) -> ProxiedCall:
    sent = call.headers.get("x-api-key")
    return replace(call, headers={**call.headers, "x-api-key": KEYS[0]}) if sent in KEYS else call


def billing_line_as_prompt(call: ProxiedCall) -> ProxiedCall:
    def kept(body: Json) -> Json:
        for block in body["system"] if isinstance(body.get("system"), list) else []:
            block["text"] = block["text"].replace("x-anthropic-billing-header", "billing-header")
        return body

    return call.with_json(kept)


def breakpoints_as_text(call: ProxiedCall) -> ProxiedCall:
    """Writes `cache_control` into the prompt."""

    def written_out(body: Json) -> Json:
        for message in body.get("messages", []):
            for block in message["content"] if isinstance(message.get("content"), list) else []:
                if "cache_control" in block:
                    block["text"] += f" {block['cache_control']}"
        return body

    return call.with_json(written_out)


def _moved(body: Json, source: str, to: str) -> Json:
    usage = body.get("usage", {})
    if source in usage:
        usage[to] = usage.get(to, 0) + usage[source]
        usage[source] = 0
    return body

"""Steps about headers, health and browsers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
from pytest_bdd import given, parsers, then, when

from features.harness.scene.scene import Scene
from features.harness.verdicts.skips import skip_disabled
from features.harness.wire.client import MESSAGES
from features.harness.wire.expectations import expect_equal, expect_that


@given("the server is on loopback")
def the_server_is_on_loopback(scene: Scene) -> None:
    host = httpx.URL(scene.client.target.url).host
    if host != "localhost" and not _is_loopback_address(host):
        skip_disabled(f"the rule applies to servers on loopback, but the target is at {host}")


@when(parsers.parse('the client calls "{method} {path}" twice'))
def the_client_calls_twice(scene: Scene, method: str, path: str) -> None:
    scene.reply, scene.other_reply = scene.client.send(method, path), scene.client.send(method, path)


@when(parsers.parse('a browser sends a preflight request for "{origin}"'))
def a_browser_sends_a_preflight_request(scene: Scene, origin: str) -> None:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    scene.last = scene.client.send("OPTIONS", MESSAGES, headers=headers)


@when("it is sent with the server's own origin")
def it_is_sent_with_the_own_origin(scene: Scene) -> None:
    url = httpx.URL(scene.client.target.url)
    headers = {"origin": f"{url.scheme}://{url.netloc.decode()}"}
    scene.take_reply(scene.client.send("POST", MESSAGES, scene.body, headers=headers))


@then(parsers.parse("the status is {status:d}"))
def the_status_is(scene: Scene, status: int) -> None:
    expect_equal(scene.last.status, status, "the status")


@then("the body is empty")
def the_body_is_empty(scene: Scene) -> None:
    expect_equal(scene.last.body, b"", "the body")


@then(parsers.parse('its header "{name}" is "{value}"'))
def its_header_is(scene: Scene, name: str, value: str) -> None:
    expect_equal(scene.last.headers.get(name), value, f"the header {name}")


@then(parsers.parse('its header "{name}" begins with "{prefix}"'))
def its_header_begins_with(scene: Scene, name: str, prefix: str) -> None:
    value = scene.last.headers.get(name, "")
    expect_that(value.startswith(prefix), f"the header {name} to begin with {prefix}", value)


@then(parsers.parse('it has no header "{name}"'))
def it_has_no_header(scene: Scene, name: str) -> None:
    expect_equal(scene.last.headers.get(name), None, f"the header {name}")


@then(parsers.parse('the two replies have different "{name}" headers'))
def the_two_replies_have_different_headers(scene: Scene, name: str) -> None:
    one, other = scene.reply.headers.get(name), scene.other_reply.headers.get(name)
    expect_that(one and other and one != other, f"two different headers {name}", (one, other))


@then("it is healthy and reports model, version and time")
def it_is_healthy(scene: Scene) -> None:
    health = scene.last.json()
    expect_equal(health.get("status"), "healthy", "status")
    for name in ("model", "version"):
        expect_that(isinstance(health.get(name), str) and health[name], f"{name} to be a string", health.get(name))
    timestamp = datetime.fromisoformat(str(health.get("timestamp")))
    expect_that(timestamp.tzinfo is not None, "the timestamp to have a time zone", health.get("timestamp"))


@then(parsers.parse('"{path}" is a non-negative number'))
def it_is_a_non_negative_number(scene: Scene, path: str) -> None:
    value = _value_at(scene.last.json(), path)
    expect_that(_is_number(value) and value >= 0, f"{path} to be a non-negative number", value)


@then(parsers.parse('"{path}" is more than {number:d}'))
def it_is_more_than(scene: Scene, path: str, number: int) -> None:
    value = _value_at(scene.last.json(), path)
    expect_that(_is_number(value) and value > number, f"{path} to be more than {number}", value)


@then(parsers.parse('"{path}" is an object of numbers'))
def it_is_an_object_of_numbers(scene: Scene, path: str) -> None:
    value = _value_at(scene.last.json(), path)
    numbers = isinstance(value, dict) and value and all(map(_is_number, _leaves(value)))
    expect_that(numbers, f"{path} to be an object of numbers", value)


def _is_loopback_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value_at(value: Any, path: str) -> Any:
    for name in path.split("."):
        expect_that(isinstance(value, dict) and name in value, f"a field {path}", value)
        value = value[name]
    return value


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    else:
        yield value

"""Steps about slow streams, clients that disconnect, and concurrent requests."""

from __future__ import annotations

import time
from itertools import pairwise

from pytest_bdd import given, parsers, then, when

from features.harness.scene.scene import Scene, plain_request
from features.harness.verdicts.skips import skip_disabled
from features.harness.wire.client import Client
from features.harness.wire.expectations import expect_equal, expect_that

_NUM_DELTAS_BEFORE_DISCONNECTING = 3
_STREAM_SECONDS = 80.0  # the duration of the script's long answer


@given("it reports how many requests are active")
def it_reports_how_many_requests_are_active(scene: Scene) -> None:
    active = _active_requests(scene.client)
    if active is None:
        skip_disabled("GET /health of this server has no requests.active to observe")
    scene.active_before = active


@when("the client disconnects in the middle of the stream")
def the_client_disconnects_in_the_middle(scene: Scene) -> None:
    with scene.client.open_stream(scene.body) as live:
        deltas = (event for event in live.events() if event.name == "content_block_delta")
        for _ in range(_NUM_DELTAS_BEFORE_DISCONNECTING):
            next(deltas)
        _expect_active(scene, more=True, seconds=20)


@when("the client disconnects before the reply")
def the_client_disconnects_before_the_reply(scene: Scene) -> None:
    with scene.client.unanswered(scene.body):
        _expect_active(scene, more=True, seconds=20)


@when("a short request is sent while the stream runs")
def a_short_request_is_sent_while_its_stream_runs(scene: Scene) -> None:
    with scene.client.open_stream(scene.body) as live:
        events = live.events()
        while next(events).name != "content_block_delta":
            pass
        sent_at = time.monotonic()
        scene.take_reply(scene.client.post(plain_request(scene.client.model)))
        scene.reply_seconds = time.monotonic() - sent_at
        expect_equal(next(events).name, "content_block_delta", "the stream's next event")


@then("it did not wait for the stream to end")
def it_did_not_wait_for_the_stream_to_end(scene: Scene) -> None:
    max_seconds = _STREAM_SECONDS / 4
    expect_that(scene.reply_seconds < max_seconds, f"a reply within {max_seconds} s", f"{scene.reply_seconds:.1f} s")


@then(parsers.parse("the number of active requests drops back within {seconds:d} seconds"))
def the_number_of_active_requests_drops_back(scene: Scene, seconds: int) -> None:
    _expect_active(scene, more=False, seconds=seconds)


@then(parsers.parse("message_start arrives within {seconds:d} seconds"))
def message_start_arrives_within(scene: Scene, seconds: int) -> None:
    stream = scene.stream
    expect_equal(stream.kinds()[0], "message_start", "the first event")
    waited = stream.events[0].arrived_at - stream.sent_at
    expect_that(waited <= seconds, f"message_start within {seconds} s", f"{waited:.1f} s")


@then("a ping arrives before the first word")
def a_ping_arrives_before_the_first_word(scene: Scene) -> None:
    kinds = scene.stream.kinds()
    before_the_first_word = kinds[: kinds.index("content_block_delta")]
    pings = [event for event in scene.stream.events[: len(before_the_first_word)] if event.name == "ping"]
    while_waiting = [event for event in pings if event.arrived_at - scene.stream.opened_at >= 1]
    expect_that(while_waiting, "a ping at least one second after the start and before the first delta", kinds)


@then(parsers.parse("it is never silent for longer than {seconds:d} seconds"))
def it_is_never_silent_for_longer_than(scene: Scene, seconds: int) -> None:
    times = [scene.stream.sent_at, *(event.arrived_at for event in scene.stream.events), scene.stream.ended_at]
    longest = max(later - earlier for earlier, later in pairwise(times))
    expect_that(longest <= seconds, f"no silence over {seconds} s", f"{longest:.1f} s")


@then(parsers.parse("it took at least {seconds:d} seconds"))
def it_took_at_least(scene: Scene, seconds: int) -> None:
    took = scene.stream.ended_at - scene.stream.opened_at
    expect_that(took >= seconds, f"a stream of {seconds} s or more", f"{took:.1f} s")


@then(parsers.parse("its text has {number:d} words"))
def its_text_has_words(scene: Scene, number: int) -> None:
    expect_equal(len(scene.stream.text().split()), number, "the number of words")


def _active_requests(client: Client) -> int | None:
    health = client.send("GET", "/health")
    requests = health.json().get("requests") if health.status == 200 else None
    active = requests.get("active") if isinstance(requests, dict) else None
    return active if isinstance(active, int) else None


def _expect_active(scene: Scene, *, more: bool, seconds: float) -> None:
    """Wait until more requests are active than before the scenario (`more`), or at most as many."""
    deadline = time.monotonic() + seconds
    while ((active := _active_requests(scene.client) or 0) > scene.active_before) != more:
        comparison = "more than" if more else "at most"
        expect_that(time.monotonic() < deadline, f"{comparison} {scene.active_before} active in {seconds} s", active)
        time.sleep(0.05)

"""Steps about loading and unloading models through HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from pytest_bdd import parsers, then, when

from features.harness.scene.scene import Scene
from features.harness.wire.client import Client
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.replies import HttpReply
from features.harness.wire.transcript import Transcript


@when(parsers.parse('the client calls "POST /models/{action}" for the model "{name}"'))
def the_client_calls_for_the_model(scene: Scene, action: str, name: str) -> None:
    scene.last = scene.client.post({"model": name}, f"/models/{action}")


@when("the model under test is loaded")
def the_model_is_loaded(scene: Scene) -> None:
    reply = scene.client.post({"model": scene.client.model}, "/models/load")
    expect_that(200 <= reply.status < 300, "a status from 200 to 299", reply.status)


@when("its model is to be unloaded while its stream runs")
def its_model_is_to_be_unloaded(scene: Scene) -> None:
    """A server may refuse, or wait for the stream to end: the stream is read meanwhile."""
    other = Client(scene.client.target, Transcript())
    with ThreadPoolExecutor(1) as pool, scene.client.open_stream(scene.body) as live:
        events = live.events()
        kinds = [next(events).name]
        unloading = pool.submit(other.post, {"model": scene.client.model}, "/models/unload")
        kinds += [event.name for event in events]
    scene.message = {"kinds": kinds}
    _expect_an_answer(unloading.result())


@then("the stream ends whole")
def the_stream_ends_whole(scene: Scene) -> None:
    expect_equal(scene.message["kinds"][-1], "message_stop", "the last event")


@then("the model answers afterwards")
def the_model_answers_afterwards(scene: Scene) -> None:
    scene.client.post({"model": scene.client.model}, "/models/load")
    scene.client.post(scene.body).message()


@then(parsers.parse("it is refused with a status from {lowest:d} to {highest:d}"))
def it_is_refused_with_a_status(scene: Scene, lowest: int, highest: int) -> None:
    expect_that(lowest <= scene.last.status <= highest, f"a status from {lowest} to {highest}", scene.last.status)


@then(parsers.parse('the refusal names "{name}"'))
def the_refusal_names(scene: Scene, name: str) -> None:
    text = scene.last.body.decode("utf-8", "replace")
    expect_that(name in text, f"the refusal to name {name}", text)


def _expect_an_answer(reply: HttpReply) -> None:
    is_known = reply.status not in (404, 405, 501)
    expect_that(is_known and reply.status != 500, "unloaded, or refused for now", reply.status)

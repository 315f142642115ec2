"""Steps about the list of models and the models in it."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from pytest_bdd import parsers, then, when

from features.harness.scene.scene import Json, Scene
from features.harness.wire.client import COUNT_TOKENS, MESSAGES
from features.harness.wire.expectations import expect_equal, expect_that

MODELS = "/v1/models"


@when("the client requests the page after the last model")
def the_client_requests_the_page_after_the_last(scene: Scene) -> None:
    scene.last = scene.client.send("GET", f"{MODELS}?after_id={_quoted(_whole_list(scene)[-1])}")


@when("the client requests the page before the first model")
def the_client_requests_the_page_before_the_first(scene: Scene) -> None:
    scene.last = scene.client.send("GET", f"{MODELS}?before_id={_quoted(_whole_list(scene)[0])}")


@when("the client pages through the list one model at a time")
def the_client_pages_through_the_list(scene: Scene) -> None:
    models, query = [], "?limit=1"
    for _ in range(len(_whole_list(scene)) + 1):
        page = _page(scene.client.send("GET", f"{MODELS}{query}").json())
        models += page["data"]
        if not page["has_more"]:
            break
        query = f"?limit=1&after_id={quote(page['last_id'])}"
    scene.message = {"models": models}


@when("it is sent to each of the first five listed models")
def it_is_sent_to_each(scene: Scene) -> None:
    scene.message = {"replies": {name: _sent_to(scene, MESSAGES, name) for name in _first_five(scene)}}


@when("its tokens are counted by each of the first five listed models")
def its_tokens_are_counted_by_each(scene: Scene) -> None:
    scene.message = {"replies": {name: _sent_to(scene, COUNT_TOKENS, name) for name in _first_five(scene)}}


@when("the client requests the model under test")
def the_client_requests_the_model(scene: Scene) -> None:
    scene.last = scene.client.send("GET", f"{MODELS}/{quote(scene.client.model)}")


@then("the reply is a page of models")
def the_reply_is_a_page_of_models(scene: Scene) -> None:
    expect_equal(scene.last.status, 200, "the status")
    page = _page(scene.last.json())
    expect_that(page["data"], "at least one model", page)
    for model in page["data"]:
        _expect_model(model)
    expect_equal(page["first_id"], page["data"][0]["id"], "first_id")
    expect_equal(page["last_id"], page["data"][-1]["id"], "last_id")


@then("the model under test is on the page")
def the_model_under_test_is_on_the_page(scene: Scene) -> None:
    ids = [model["id"] for model in scene.last.json()["data"]]
    expect_that(scene.client.model in ids, f"{scene.client.model} among the ids", ids)


@then(parsers.parse("it contains {number:d} model"))
def it_contains_models(scene: Scene, number: int) -> None:
    expect_equal(len(scene.last.json()["data"]), number, "the number of models on the page")


@then("the page is empty and there are no more")
def the_page_is_empty(scene: Scene) -> None:
    expect_equal(scene.last.status, 200, "the status")
    page = _page(scene.last.json())
    expect_equal(page["data"], [], "data")
    expect_that(page["has_more"] is False, "has_more to be false", page)


@then("the pages add up to the whole list")
def the_pages_add_up(scene: Scene) -> None:
    expect_equal(scene.message["models"], _whole_list(scene), "the models of all pages")


@then("each answers under its own name")
def each_answers(scene: Scene) -> None:
    replies = scene.message["replies"]
    expect_equal({name: status for name, (status, _) in replies.items()}, dict.fromkeys(replies, 200), "the statuses")
    expect_equal({name: body.get("model") for name, (_, body) in replies.items()}, {n: n for n in replies}, "model")


@then("each returns a token count")
def each_returns_a_token_count(scene: Scene) -> None:
    for name, (status, body) in scene.message["replies"].items():
        expect_equal(status, 200, f"the status of {name}")
        number = body.get("input_tokens")
        expect_that(isinstance(number, int) and number > 0, f"input_tokens of {name} to be a number over 0", number)


@then("the reply is a model")
def the_reply_is_a_model(scene: Scene) -> None:
    expect_equal(scene.last.status, 200, "the status")
    _expect_model(scene.last.json())


@then("the reply matches the model in the list")
def the_reply_matches_the_listed_model(scene: Scene) -> None:
    the_reply_is_a_model(scene)
    listed = [model for model in _whole_list(scene) if model["id"] == scene.client.model]
    expect_equal([scene.last.json()], listed, "the model")


def _first_five(scene: Scene) -> list[str]:
    """Five, because a server may list hundreds of models and has to load each one."""
    names = [str(model["id"]) for model in _whole_list(scene)[:5]]
    expect_that(names, "at least one model", names)
    return names


def _sent_to(scene: Scene, path: str, name: str) -> tuple[int, Json]:
    body = {**scene.body, "model": name}
    if path == COUNT_TOKENS:
        body.pop("max_tokens", None)
    reply = scene.client.send("POST", path, body)
    return reply.status, reply.json()


def _whole_list(scene: Scene) -> list[Json]:
    models: list[Json] = scene.client.send("GET", f"{MODELS}?limit=1000").json()["data"]
    return models


def _page(page: Json) -> Json:
    for name in ("data", "first_id", "last_id", "has_more"):
        expect_that(name in page, f"a field {name}", sorted(page))
    expect_equal(type(page["data"]), list, "the type of data")
    expect_equal(type(page["has_more"]), bool, "the type of has_more")
    return page


def _expect_model(model: Json) -> None:
    expect_equal(model.get("type"), "model", "type")
    for name in ("id", "display_name", "created_at"):
        expect_that(isinstance(model.get(name), str) and model[name], f"{name} to be a string", model.get(name))
    created_at = datetime.fromisoformat(model["created_at"])
    expect_that(created_at.tzinfo is not None, "created_at to be an RFC 3339 time", model["created_at"])


def _quoted(model: Json) -> str:
    return quote(str(model["id"]))

"""Steps about Prometheus's text format and its counters."""

from __future__ import annotations

import re
from collections import Counter

from pytest_bdd import then, when

from features.harness.scene.scene import Scene
from features.harness.wire.client import MESSAGES
from features.harness.wire.expectations import expect_equal, expect_that

METRICS = "/metrics"
_LABEL = r'[a-zA-Z_]\w*="(?:[^"\\]|\\["\\n])*"'
_SAMPLE = re.compile(rf"([a-zA-Z_:][\w:]*(?:\{{(?:{_LABEL}(?:,{_LABEL})*,?)?\}})?) (\S+)(?: -?\d+)?", re.ASCII)
_TYPE = re.compile(r"# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram|summary|untyped)", re.ASCII)
_OTHER_UNIT = re.compile(r"_(ms|milliseconds|minutes|hours|kb|mb|gb|kib|mib|gib|percent)(_|$)")


@when("the metrics are read before and after it is sent")
def the_metrics_are_read_before_and_after(scene: Scene) -> None:
    scene.reply = scene.client.send("GET", METRICS)
    expect_equal(scene.client.send("POST", MESSAGES, scene.body).status, 200, "the status of the message")
    scene.other_reply = scene.client.send("GET", METRICS)


@then("it is in Prometheus's text format")
def it_is_in_the_text_format(scene: Scene) -> None:
    content_type = scene.last.headers.get("content-type", "")
    expect_that(content_type.startswith("text/plain"), "a content type of text/plain", content_type)
    lines = _lines(scene.last.body)
    wrong = [line for line in lines if not line.startswith("#") and not _is_sample(line)]
    expect_equal(wrong, [], "the lines that are not samples")
    types = Counter(line for line in lines if line.startswith("# TYPE "))
    expect_that(types, "at least one metric", lines)
    expect_equal([line for line, number in types.items() if number > 1 or not _TYPE.fullmatch(line)], [], "wrong types")


@then("every counter's name ends in _total, and every unit is a base unit")
def every_name_follows_the_rules(scene: Scene) -> None:
    types = {match[1]: match[2] for line in _lines(scene.last.body) if (match := _TYPE.fullmatch(line))}
    expect_that(types, "at least one metric", types)
    is_wrong = {name for name, kind in types.items() if (kind == "counter") != name.endswith("_total")}
    expect_equal(sorted(is_wrong), [], "the counters without _total and the other metrics with it")
    expect_equal(sorted(name for name in types if _OTHER_UNIT.search(name)), [], "the names in other units")


@then("a counter has risen and none has fallen")
def a_counter_has_risen(scene: Scene) -> None:
    before, after = _counters(scene.reply.body), _counters(scene.other_reply.body)
    fallen = {name: (before[name], after.get(name)) for name in before if after.get(name, -1.0) < before[name]}
    expect_equal(fallen, {}, "the counters that have fallen")
    expect_that(any(after[name] > before.get(name, 0.0) for name in after), "a counter that has risen", after)


def _lines(body: bytes) -> list[str]:
    return [line for line in body.decode().splitlines() if line.strip()]


def _is_sample(line: str) -> bool:
    match = _SAMPLE.fullmatch(line)
    return match is not None and _is_number(match[2])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _counters(body: bytes) -> dict[str, float]:
    """Values by name and labels."""
    samples = [_SAMPLE.fullmatch(line) for line in _lines(body)]
    return {each[1]: float(each[2]) for each in samples if each and each[1].partition("{")[0].endswith("_total")}

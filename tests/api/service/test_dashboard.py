"""The Grafana dashboard uses metrics and labels that this server has, and no others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.running_server import ask, scripted_server

DASHBOARD = Path(__file__).parents[3] / "packaging" / "grafana" / "pensieve.json"
OF_PROMETHEUS = {"instance", "job"}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of each sample that a server exports after a request of a named key."""
    folder = tmp_path_factory.mktemp("dashboard")
    keys = folder / "keys.toml"
    keys.touch(mode=0o600)
    keys.write_text('alice = "sk-of-alice-1"', encoding="utf-8")
    with scripted_server(folder, "[[reply]]\ntext = 'one two'", api_keys=str(keys)) as client:
        client.headers["x-api-key"] = "sk-of-alice-1"
        client.post("/v1/messages", json=ask()).raise_for_status()
        return exported(client.get("/metrics"))


def exported(reply: httpx.Response) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(reply.text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def queries(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each query, and the legend of its series."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.findall(r"\w+", variable["query"]["query"])[1:]
            yield f'{metric}{{{label}=""}}', ""


def test_every_metric_and_label_exists(dashboard: dict[str, Any], labels: dict[str, set[str]]) -> None:
    for query, legend in queries(dashboard):
        selected = re.findall(r"(pensieve_\w+)\{([^}]*)\}", query)
        assert len(selected) == query.count("pensieve_") > 0, query
        names = {name for name, _ in selected}
        assert names <= labels.keys(), query
        used = {label for _, matchers in selected for label in re.findall(r"(\w+)=", matchers)}
        used |= {label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", ")}
        used |= set(re.findall(r"\{\{(\w+)\}\}", legend))
        assert used <= OF_PROMETHEUS | set.union(*(labels[name] for name in names)), query


def test_every_histogram_and_every_alert_is_shown(dashboard: dict[str, Any], labels: dict[str, set[str]]) -> None:
    shown = " ".join(query for query, _ in queries(dashboard))
    assert [name for name in labels if name.endswith("_bucket") and name not in shown] == []
    assert "pensieve_alert_firing" in shown


def test_panels_have_places_of_their_own(dashboard: dict[str, Any]) -> None:
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])

"""`GET /metrics` agrees with what the server did, and with `/health`."""

import math
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.running_server import ask, scripted_server


def samples(reply: httpx.Response) -> dict[str, float]:
    """The samples by name and label values, parsed as Prometheus does."""
    families = list(text_string_to_metric_families(reply.text))
    assert len({family.name for family in families}) == len(families)
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_count_requests_tokens_and_memory(tmp_path: Path) -> None:
    script = """
[[reply]]
when = "fail"
text = "one two three"
fail_after_tokens = 2
[[reply]]
text = "one two three four"
"""
    with scripted_server(tmp_path, script) as client:
        before = client.get("/metrics")
        assert before.status_code == 200
        assert before.headers["content-type"].startswith("text/plain")
        assert samples(before)["pensieve_requests_total[complete]"] == 0
        client.post("/v1/messages", json=ask()).raise_for_status()
        assert client.post("/v1/messages", json=ask("fail")).status_code == 500
        found = samples(client.get("/metrics"))
        health = client.get("/health").json()
    assert found["pensieve_requests_total[complete]"] == found["pensieve_request_duration_seconds_count[scripted]"] == 1
    assert found["pensieve_requests_total[error]"] == 1
    assert found["pensieve_generated_tokens_total"] == 4 + 1 + 2
    assert found["pensieve_time_to_first_token_seconds_count[scripted]"] == 2
    assert found["pensieve_queue_seconds_count[scripted]"] == 2
    assert found["pensieve_token_interval_seconds_count[scripted]"] == (4 + 1 - 1) + (2 - 1)
    assert found["pensieve_request_duration_seconds_bucket[+Inf][scripted]"] == 1
    assert found["pensieve_generated_tokens_per_second"] > 0
    assert found["pensieve_memory_limit_bytes"] == health["memory"]["capacity_bytes"]
    assert found["pensieve_memory_reserved_bytes[kv_cache]"] == health["reserved"]["kv_cache_bytes"] == 0
    assert found["pensieve_memory_peak_bytes"] == health["memory"]["peak_bytes"] > 0
    assert found["pensieve_model_loaded[scripted]"] == found["pensieve_model_loads_total"] == 1
    assert found["pensieve_requests_active"] == found["pensieve_model_unloads_total"] == 0
    assert found["pensieve_memory_pressure_steps_total[stored_prompts_shrunk]"] == 0
    assert health["pressure"]["times"]["stored_prompts_shrunk"] == 0
    assert health["cache_writes"] == {"day_bytes": 0, "limit_bytes": None, "skipped_bytes": 0}
    assert found["pensieve_cache_written_day_bytes"] == found["pensieve_cache_skipped_bytes_total"] == 0
    assert found["pensieve_cache_writes_limit_bytes"] == math.inf
    assert found["pensieve_draft_tokens_total"] == health["speculation"]["proposed"] == 0


def test_names_that_clients_choose_are_no_labels(tmp_path: Path) -> None:
    with scripted_server(tmp_path, "[[reply]]\ntext = 'one'") as client:
        for number in range(5):
            client.post("/v1/messages", json=ask(model=f"claude-{number}"))
            client.post("/v1/messages", json=ask(model=f"absent-{number}"))
        text = client.get("/metrics").text
    assert 'pensieve_request_duration_seconds_count{model="scripted"} 5.0' in text
    assert "claude-" not in text
    assert "absent-" not in text
    assert "_created" not in text


def test_a_firing_alert_is_exported(tmp_path: Path) -> None:
    with scripted_server(tmp_path, "[[reply]]\ntext = 'one two'\nfail_after_tokens = 1") as client:
        assert samples(client.get("/metrics"))["pensieve_alert_firing[high_error_rate]"] == 0
        client.post("/v1/messages", json=ask())
        assert samples(client.get("/metrics"))["pensieve_alert_firing[high_error_rate]"] == 1


def test_openmetrics_is_served_on_request(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        reply = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert reply.text.endswith("# EOF\n")


def test_metrics_require_the_key(tmp_path: Path) -> None:
    with scripted_server(tmp_path, api_key="secret") as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"authorization": "Bearer secret"}).status_code == 200


def test_a_version_that_is_none_gets_the_plain_format(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        for version in ("x.y.z", "=1"):
            reply = client.get("/metrics", headers={"accept": f"application/openmetrics-text; version={version}"})
            assert (reply.status_code, reply.headers["content-type"][:10]) == (200, "text/plain")

"""API keys and the rate limit are enforced (G-2.3). The engine is scripted."""

from __future__ import annotations

import httpx

from perf_gates.loads.servers import serving
from perf_gates.reporting.report import Report

KEY = "a-key-of-the-gates"
LIMIT = 40
_BODY = {"model": "claude-any", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
_WRONG_HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"x-api-key": ""},
    {"x-api-key": KEY[:-1]},
    {"x-api-key": KEY.upper()},
    {"authorization": "Bearer wrong"},
    {"authorization": KEY},
)


def test_requests_without_the_key_are_rejected(report: Report) -> None:
    with serving("--script", "/dev/null", "--api-key", KEY) as server:
        statuses = [_status(server.url, headers) for headers in _WRONG_HEADERS]
        assert _status(server.url, {"x-api-key": KEY}) == 200
    report.judge("G-2.3a", 100 * statuses.count(401) / len(statuses))


def test_the_rate_limit_admits_the_configured_number(report: Report) -> None:
    with serving("--script", "/dev/null", "--rate-limit", str(LIMIT)) as server:
        statuses = [_status(server.url, {}) for _ in range(2 * LIMIT)]
    assert set(statuses) == {200, 429}
    report.judge("G-2.3b", 100 * (1 - abs(statuses.count(200) - LIMIT) / LIMIT))


def _status(url: str, headers: dict[str, str]) -> int:
    return httpx.post(f"{url}/v1/messages", json=_BODY, headers=headers, timeout=300).status_code

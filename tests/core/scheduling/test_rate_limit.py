from hypothesis import given
from hypothesis import strategies as st

from pensieve.core.scheduling.rate_limit import MAX_CLIENTS, WINDOW_SECONDS, RateLimit


def test_requests_up_to_the_limit_are_admitted() -> None:
    limit = RateLimit(3)
    assert [limit.admit("a", at) for at in (0.0, 1.0, 2.0)] == [0, 0, 0]
    assert limit.admit("a", 3.0) == 57


def test_a_client_that_waits_as_requested_is_admitted() -> None:
    limit = RateLimit(1)
    limit.admit("a", 10.5)
    wait = limit.admit("a", 20.0)
    assert 0 < wait <= WINDOW_SECONDS
    assert limit.admit("a", 20.0 + wait) == 0


def test_clients_do_not_share_a_limit() -> None:
    limit = RateLimit(1)
    assert [limit.admit(client, 0.0) for client in ("a", "b")] == [0, 0]


def test_the_number_of_remembered_clients_is_bounded() -> None:
    limit = RateLimit(1)
    for number in range(MAX_CLIENTS + 1):
        limit.admit(str(number), 0.0)
    assert limit.admit("0", 1.0) == 0
    assert limit.admit(str(MAX_CLIENTS), 1.0) > 0


@given(st.integers(1, 5), st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_requests_are_refused_exactly_above_the_limit(limit_per_minute: int, gaps: list[float]) -> None:
    limit = RateLimit(limit_per_minute)
    now, admitted = 0.0, list[float]()
    for gap in gaps:
        now += gap
        in_window = [at for at in admitted if at > now - WINDOW_SECONDS]
        is_admitted = limit.admit("a", now) == 0
        assert is_admitted == (len(in_window) < limit_per_minute)
        if is_admitted:
            admitted.append(now)

import pytest

from pensieve.api.http.access import AccessRules, is_loopback
from pensieve.core.errors import AuthenticationError

WITH_KEY = AccessRules("127.0.0.1", api_key="secret")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.1.2.3", "::1"])
def test_loopback_addresses_are_recognised(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["::", "192.168.1.1", "localhost..", "127.0.0.1..", "192.168.1.2", "example.org", "", "127.0.0.1.example.org"],
)
def test_other_addresses_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("x_api_key", "authorization"),
    [
        ("secret", None),
        (None, "Bearer secret"),
        (None, "bearer  secret "),
        ("another", "Bearer secret"),
        ("secret", "Bearer another"),
    ],
)
def test_the_key_may_be_in_either_header(x_api_key: str | None, authorization: str | None) -> None:
    assert WITH_KEY.client(x_api_key, authorization, "10.0.0.7").name == "10.0.0.7"


@pytest.mark.parametrize(
    ("x_api_key", "authorization"),
    [(None, None), ("", ""), ("secre", None), ("secret2", None), (None, "Basic secret"), (None, "secret"), ("ü", None)],
)
def test_a_wrong_key_is_refused_and_not_in_the_message(x_api_key: str | None, authorization: str | None) -> None:
    with pytest.raises(AuthenticationError) as caught:
        WITH_KEY.client(x_api_key, authorization, "10.0.0.7")
    assert "secre" not in str(caught.value)


def test_a_server_without_a_key_accepts_every_client_and_tells_them_apart_by_address() -> None:
    one, other = (AccessRules("127.0.0.1").client(None, None, address) for address in ("10.0.0.7", "10.0.0.8"))
    assert (one.name, other.name) == ("10.0.0.7", "10.0.0.8")
    assert one.namespace == other.namespace == "", "without keys all clients share the prompt cache"


@pytest.mark.parametrize("header", ["localhost:8765", "127.0.0.1", "[::1]:80"])
def test_a_loopback_server_accepts_loopback_names(header: str) -> None:
    assert AccessRules("127.0.0.1").allows_host(header)


@pytest.mark.parametrize(
    "header", ["evil.example", "evil.example:8765", "localhost.evil.example", "", "[bad", "localhost..", "."]
)
def test_a_loopback_server_refuses_other_names(header: str) -> None:
    assert not AccessRules("127.0.0.1").allows_host(header)


def test_a_network_server_accepts_any_host_name() -> None:
    assert AccessRules("192.168.1.2", api_key="secret").allows_host("mac.local:8765")


def test_origins_are_allowed_individually_or_all_at_once() -> None:
    assert not AccessRules("127.0.0.1").grants_origin("https://a.example")
    assert AccessRules("127.0.0.1", cors_origins=("https://a.example",)).grants_origin("https://a.example")
    assert not AccessRules("127.0.0.1", cors_origins=("https://a.example",)).grants_origin("https://b.example")
    assert AccessRules("127.0.0.1", cors_origins=("*",)).grants_origin("https://b.example")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("localhost:8765", "http://localhost:8765"),
        ("192.168.1.2", "https://192.168.1.2"),
        ("[::1]:80", "http://[::1]:80"),
        ("mac.local:8765", "http://mac.local:8765"),
    ],
)
def test_the_servers_own_page_may_use_it(host: str, origin: str) -> None:
    assert AccessRules("0.0.0.0", allowed_hosts=("mac.local",)).is_own_origin(origin, host)  # noqa: S104


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example", "http://evil.example"),  # DNS rebinding: it has pointed its name here
        ("127.0.0.1:8765", "http://127.0.0.1:3000"),
        ("127.0.0.1:8765", "http://localhost:8765"),
        ("127.0.0.1", "null"),
        ("127.0.0.1", "file://127.0.0.1"),
        ("", "http://"),
        ("null", "null"),
    ],
)
def test_no_other_page_is_taken_for_the_servers_own(host: str, origin: str) -> None:
    assert not AccessRules("0.0.0.0", allowed_hosts=("mac.local",)).is_own_origin(origin, host)  # noqa: S104

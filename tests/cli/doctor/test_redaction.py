"""What must not be in a bug report, and what must stay in it to be of use."""

import socket

import pytest

from pensieve.cli.doctor.redaction import redactor

ENVIRONMENT = {
    "HOME": "/home/marie.curie",
    "USER": "marie.curie",
    "PENSIEVE_API_KEY": "correct horse",
    "HTTPS_PROXY": "http://marie:radium@proxy.example:3128",
    "MODEL": "qwen",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no such file: /home/marie.curie/models/a", "no such file: ~/models/a"),
        ("the key is correct horse", "the key is <secret>"),
        ("via http://marie:radium@proxy.example:3128", "via <secret>"),
        ("via http://pierre:polonium@other.example", "via http://<secret>other.example"),
        ("owner marie.curie, Marie.Curie", "owner <user>, <user>"),
        ("at LAB-7.example.org, lab-7", "at <host>, <host>"),
        ("/Volumes/Secret Project/model is damaged", "<private> is damaged"),
        ("cannot read /srv/data/grant-2026/x.toml", "cannot read <path>"),
        ("Authorization: Bearer abc.def", "Authorization: <secret>"),
        ("sk-ant-api03-abcdefgh and hf_abcdefghij", "<secret> and <secret>"),
    ],
)
def test_what_is_private_is_replaced(monkeypatch: pytest.MonkeyPatch, text: str, expected: str) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "lab-7.example.org")
    assert redactor(ENVIRONMENT, ["/Volumes/Secret Project/model"])(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "qwen answers at http://127.0.0.1:8765/v1",
        "/usr/lib/libopenblas.so.0 and /opt/homebrew/bin/claude",
        "MLX was ended by SIGILL at its first computation",
        "12.3 GB/day, 8/16 threads",
    ],
)
def test_the_rest_stays(text: str) -> None:
    assert redactor(ENVIRONMENT)(text) == text


def test_a_short_user_name_is_replaced_only_as_a_word() -> None:
    assert redactor({"USER": "ana"})("ana: a banana") == "<user>: a banana"

"""Names that are almost those of settings and variables (U9)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pensieve
from pensieve.cli.settings.names import known_variables, likely_name, unknown_variables
from pensieve.cli.settings.table import MODEL_TABLE, TABLE

PACKAGE = Path(pensieve.__file__).parent
NAMES = {setting.name for setting in (*TABLE, *MODEL_TABLE)}


@pytest.mark.parametrize(
    ("written", "meant"),
    [("tempreature", "temperature"), ("num_ctx", "context"), ("keep_alive", "idle_unload"), ("zzz", None)],
)
def test_a_wrong_name_leads_to_the_likely_one(written: str, meant: str | None) -> None:
    assert likely_name(written, NAMES) == meant


def test_an_unknown_variable_is_named_with_the_likely_one() -> None:
    environment = {"PENSIEVE_PROT": "1", "PENSIEVE_PORT": "1", "PENSIEVE_ZZZZZZ": "", "PATH": "/bin"}
    assert list(unknown_variables(environment)) == [
        "PENSIEVE_PROT is not a variable of Pensieve; did you mean PENSIEVE_PORT?",
        "PENSIEVE_ZZZZZZ is not a variable of Pensieve",
    ]


def test_every_variable_that_the_code_reads_is_known() -> None:
    texts = (path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    read = {name for text in texts for name in re.findall(r'"(PENSIEVE_[A-Z_]+)"', text)}
    assert "PENSIEVE_BLAS" in read
    assert not list(unknown_variables(dict.fromkeys(read, "")))
    assert read - {"PENSIEVE_SUPERVISED"} <= {*known_variables()}

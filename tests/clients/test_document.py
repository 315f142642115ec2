"""docs/clients.md says how to configure each client, in the words that were tried."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.clients.client import Client, load_clients
from tests.clients.conversation import WINDOWS
from tests.clients.document import PAGE, configuration
from tests.clients.outcome import Outcome, table


@pytest.mark.parametrize("client", load_clients(), ids=lambda client: client.slug)
def test_the_page_shows_a_clients_configuration_as_it_is_tried(client: Client) -> None:
    shown = configuration(client)
    assert "http://127.0.0.1:8765" in shown
    assert "environ" not in shown.replace("environment", "")
    assert shown in PAGE.read_text(encoding="utf-8"), "run `tox -e clients`, which writes the page"


def test_a_run_of_one_client_keeps_the_rows_of_the_others() -> None:
    of_one = Outcome("one", "1.0", 8192, day="2026-11-20")
    of_two = Outcome("two", "1.0", 131072, fits=False, note="a | b", day="2026-11-20")
    page = table(["one", "two"], [of_two, of_one], "")
    newer, older = replace(of_one, version="1.1", day="2026-11-21"), replace(of_two, version="0.9", day="2026-11-19")
    head, _, one, two = table(["one", "two"], [newer, older], page).splitlines()
    assert head.startswith("| client | version |")
    assert one.startswith("| one | 1.1 | 8,192 |")
    assert two == "| two | 1.0 | 131,072 | 0 | – | – | – | – | a / b | 2026-11-20 |"
    assert table(["two"], [], page).splitlines()[2:] == [two], "a client that is tried no more has no row"


def test_the_page_has_a_row_for_every_client_and_window() -> None:
    rows = table([client.name for client in load_clients()], [], PAGE.read_text(encoding="utf-8")).splitlines()[2:]
    found = {(cells[0], cells[2]) for cells in (row[2:-2].split(" | ") for row in rows)}
    assert found == {(client.name, f"{window:,}") for client in load_clients() for window in WINDOWS}

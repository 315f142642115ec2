"""docs/clients.md says how to configure each client, in the words that were tried."""

from __future__ import annotations

import pytest

from tests.clients.client import Client, load_clients
from tests.clients.document import PAGE, configuration


@pytest.mark.parametrize("client", load_clients(), ids=lambda client: client.slug)
def test_the_page_shows_a_clients_configuration_as_it_is_tried(client: Client) -> None:
    shown = configuration(client)
    assert "http://127.0.0.1:8765" in shown
    assert "environ" not in shown.replace("environment", "")
    assert shown in PAGE.read_text(encoding="utf-8"), "run `tox -e clients`, which writes the page"

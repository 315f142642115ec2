"""`GET /logs`: the last lines of the log, for the status page."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Final

from quart import Blueprint, g, jsonify, request
from quart.typing import ResponseReturnValue
from werkzeug.exceptions import Forbidden

from pensieve.api.recent_log import LogLine
from pensieve.api.server_state import server_state
from pensieve.core.errors import ValidationError

blueprint = Blueprint("logs", __name__)

_NUMBER = re.compile("[0-9]{1,15}")
_NAMES: Final = tuple(field.name for field in fields(LogLine))


@blueprint.get("/logs")
async def logs() -> ResponseReturnValue:
    """The lines after the line `after`. The log names other clients, so it is not for clients with a named key."""
    if g.client.namespace:
        raise Forbidden("the log is only for clients with the server's own key, not for those with a named key")
    after = request.args.get("after", "0")
    if not _NUMBER.fullmatch(after):
        raise ValidationError("after", "must be the number of a line")
    lines = server_state().recent_log.lines_after(int(after))
    # Not dataclasses.asdict: for 300 lines it takes the event loop longer than all the rest of the request.
    return jsonify({"lines": [{name: getattr(line, name) for name in _NAMES} for line in lines]})

"""Writes prompts and answers to a folder."""

from __future__ import annotations

from dataclasses import dataclass

from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)

from pensieve.api.request_log.prompt_folder import PromptFolder
from pensieve.api.request_log.record import current_record


@dataclass(frozen=True, slots=True)
class LoggedPrompts:
    """ASGI middleware."""

    app: ASGIFramework
    folder: PromptFolder

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        name = self.folder.name_of(current_record().request_id)

        async def receive_and_write() -> ASGIReceiveEvent:
            message = await receive()
            if message["type"] == "http.request" and message["body"]:
                self.folder.append(f"{name}.request.json", message["body"])
            return message

        async def write_and_send(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.body" and message["body"]:
                self.folder.append(f"{name}.answer.txt", message["body"])
            await send(message)

        await self.app(scope, receive_and_write, write_and_send)

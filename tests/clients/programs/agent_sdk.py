"""A conversation through claude-agent-sdk, which brings its own Claude Code."""

import asyncio
import json
import os

from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, ResultMessage, StreamEvent

# configure: claude-agent-sdk (Python)
options = ClaudeAgentOptions(
    model=os.environ["PENSIEVE_MODEL"],
    env={"ANTHROPIC_BASE_URL": os.environ["PENSIEVE_URL"], "ANTHROPIC_AUTH_TOKEN": "any"},
    allowed_tools=["Bash"],
    include_partial_messages=True,
)
# end


async def ask(client: ClaudeSDKClient, prompt: str) -> tuple[str, int]:
    """The result, and the number of pieces in which it was streamed."""
    await client.query(prompt)
    text, chunks = "", 0
    async for message in client.receive_response():
        if isinstance(message, StreamEvent):
            chunks += message.event["type"] == "content_block_delta"
        elif isinstance(message, ResultMessage):
            text = message.result or str(message)
    return text, chunks


async def converse() -> None:
    report = {}
    async with ClaudeSDKClient(options) as client:
        report["plain"], _ = await ask(client, os.environ["PROMPT_OPEN"])
        _, report["chunks"] = await ask(client, "Tell it word by word.")
        report["tool"], _ = await ask(client, os.environ["PROMPT_WRITE"])
        report["second"], _ = await ask(client, os.environ["PROMPT_CLOSE"])
    print(json.dumps(report))


asyncio.run(converse())

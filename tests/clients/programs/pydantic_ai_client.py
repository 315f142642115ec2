"""A conversation through pydantic-ai: with its Anthropic model, or with its OpenAI model if the argument says so."""

import asyncio
import json
import os
import sys
from pathlib import Path

from pydantic_ai import Agent

if sys.argv[1] == "anthropic":
    # configure: pydantic-ai, Anthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    provider = AnthropicProvider(base_url=os.environ["PENSIEVE_URL"], api_key="any")
    model = AnthropicModel(os.environ["PENSIEVE_MODEL"], provider=provider)
    # end
else:
    # configure: pydantic-ai, OpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=os.environ["PENSIEVE_URL"] + "/v1", api_key="any")
    model = OpenAIChatModel(os.environ["PENSIEVE_MODEL"], provider=provider)
    # end

agent = Agent(model, instructions=os.environ["HANDBOOK"])


@agent.tool_plain
def write_log(text: str) -> str:
    """Write the harbour's log."""
    Path("log.txt").write_text(text, encoding="utf-8")
    return "The log says seven."


async def converse() -> None:
    report = {}
    result = await agent.run("When does it open?")
    report["plain"] = result.output
    async with agent.run_stream("Tell it word by word.", message_history=result.all_messages()) as streamed:
        report["chunks"] = len([text async for text in streamed.stream_text(delta=True, debounce_by=None)])
    result = await agent.run(os.environ["PROMPT_WRITE"], message_history=streamed.all_messages())
    report["tool"] = result.output
    result = await agent.run("And when does it close?", message_history=result.all_messages())
    report["second"] = result.output
    print(json.dumps(report))


asyncio.run(converse())

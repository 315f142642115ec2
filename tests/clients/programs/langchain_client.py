"""A conversation through LangChain: with langchain-anthropic, or with langchain-openai if the argument says so."""

import json
import os
import sys
from pathlib import Path

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

if sys.argv[1] == "anthropic":
    # configure: LangChain, langchain-anthropic
    from langchain_anthropic import ChatAnthropic

    model = ChatAnthropic(base_url=os.environ["PENSIEVE_URL"], api_key="any", model=os.environ["PENSIEVE_MODEL"])
    # end
else:
    # configure: LangChain, langchain-openai
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(base_url=os.environ["PENSIEVE_URL"] + "/v1", api_key="any", model=os.environ["PENSIEVE_MODEL"])
    # end


@tool
def write_log(text: str) -> str:
    """Write the harbour's log."""
    Path("log.txt").write_text(text, encoding="utf-8")
    return "The log says seven."


with_tools = model.bind_tools([write_log])
messages = [SystemMessage(os.environ["HANDBOOK"]), HumanMessage("When does it open?")]
messages.append(with_tools.invoke(messages))
report = {"plain": messages[-1].text}

messages.append(HumanMessage("Tell it word by word."))
chunks = list(with_tools.stream(messages))
report["chunks"] = len([chunk for chunk in chunks if chunk.text])
whole = chunks[0]
for chunk in chunks[1:]:
    whole += chunk
messages.append(whole)

messages.append(HumanMessage(os.environ["PROMPT_WRITE"]))
messages.append(with_tools.invoke(messages))
messages += [ToolMessage(write_log.invoke(call["args"]), tool_call_id=call["id"]) for call in messages[-1].tool_calls]
messages.append(with_tools.invoke(messages))
report["tool"] = messages[-1].text

messages.append(HumanMessage("And when does it close?"))
report["second"] = with_tools.invoke(messages).text
print(json.dumps(report))

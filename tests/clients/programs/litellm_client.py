"""A conversation through litellm: with `anthropic/…`, or with `openai/…` if the argument says so."""

import json
import os
import sys
from pathlib import Path

import litellm

if sys.argv[1] == "anthropic":
    # configure: litellm, anthropic/
    settings = {
        "model": "anthropic/" + os.environ["PENSIEVE_MODEL"],
        "api_base": os.environ["PENSIEVE_URL"],
        "api_key": "any",
    }
    # end
else:
    # configure: litellm, openai/
    settings = {
        "model": "openai/" + os.environ["PENSIEVE_MODEL"],
        "api_base": os.environ["PENSIEVE_URL"] + "/v1",
        "api_key": "any",
    }
    # end

parameters = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
function = {"name": "write_log", "description": "Write the harbour's log.", "parameters": parameters}
settings["tools"] = [{"type": "function", "function": function}]

messages = [{"role": "system", "content": os.environ["HANDBOOK"]}]


def ask(message: dict) -> dict:
    messages.append(message)
    answer = litellm.completion(messages=messages, **settings).choices[0].message
    messages.append(answer)
    return answer


def user(text: str) -> dict:
    return {"role": "user", "content": text}


report = {"plain": ask(user("When does it open?")).content}

messages.append(user("Tell it word by word."))
chunks = list(litellm.completion(messages=messages, stream=True, **settings))
report["chunks"] = len([chunk for chunk in chunks if chunk.choices[0].delta.content])
messages.append(litellm.stream_chunk_builder(chunks).choices[0].message)

answer = ask(user(os.environ["PROMPT_WRITE"]))
for call in answer.tool_calls:
    Path("log.txt").write_text(json.loads(call.function.arguments)["text"], encoding="utf-8")
    answer = ask({"role": "tool", "tool_call_id": call.id, "content": "The log says seven."})
report["tool"] = answer.content
report["second"] = ask(user("And when does it close?")).content
print(json.dumps(report))

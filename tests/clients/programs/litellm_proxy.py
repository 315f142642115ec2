"""Claude's SDK, then litellm's proxy on its Anthropic route, then the server: a conversation through both."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import anthropic

PORT = os.environ["SPARE_PORT"]

# configure: litellm's proxy, /v1/messages
config = {
    "model_list": [
        {
            "model_name": "local",
            "litellm_params": {
                "model": "anthropic/" + os.environ["PENSIEVE_MODEL"],
                "api_base": os.environ["PENSIEVE_URL"],
                "api_key": "any",
            },
        }
    ]
}
# end
Path("litellm.yaml").write_text(json.dumps(config), encoding="utf-8")
program = Path(sys.executable).with_name("litellm")
proxy = subprocess.Popen(
    [program, "--config", "litellm.yaml", "--port", PORT, "--host", "127.0.0.1"], stdout=sys.stderr
)


def wait_for_proxy() -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health/liveliness", timeout=5)
        except OSError:
            time.sleep(0.2)
        else:
            return


client = anthropic.Anthropic(base_url=f"http://127.0.0.1:{PORT}", api_key=os.environ["LITELLM_MASTER_KEY"])
schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
fixed = {
    "model": "local",
    "max_tokens": 1024,
    "system": os.environ["HANDBOOK"],
    "tools": [{"name": "write_log", "description": "Write the harbour's log.", "input_schema": schema}],
}
messages: list = []


def ask(content: object) -> anthropic.types.Message:
    messages.append({"role": "user", "content": content})
    message = client.messages.create(messages=messages, **fixed)
    messages.append({"role": "assistant", "content": message.content})
    return message


try:
    wait_for_proxy()
    report = {"plain": ask("When does it open?").content[0].text}
    messages.append({"role": "user", "content": "Tell it word by word."})
    with client.messages.stream(messages=messages, **fixed) as stream:
        report["chunks"] = len(list(stream.text_stream))
        messages.append({"role": "assistant", "content": stream.get_final_message().content})
    results = []
    for block in ask(os.environ["PROMPT_WRITE"]).content:
        if block.type == "tool_use":
            Path("log.txt").write_text(block.input["text"], encoding="utf-8")
            results.append({"type": "tool_result", "tool_use_id": block.id, "content": "The log says seven."})
    report["tool"] = ask(results).content[-1].text
    report["second"] = ask("And when does it close?").content[0].text
    print(json.dumps(report))
finally:
    proxy.terminate()
    proxy.wait(60)

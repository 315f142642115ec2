"""One value of each setting, as a TOML file has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXAMPLES: Final[Mapping[str, str]] = {
    "model": '"coder-16gb"',
    "host": '"127.0.0.1"',
    "port": "8765",
    "api_key": '"a-long-random-text"',
    "api_keys": '"keys.toml"',
    "cors_origins": '["https://notes.example"]',
    "allow_hosts": '["host.docker.internal"]',
    "script": '"script.toml"',
    "checked": "true",
    "grace_seconds": "30",
    "rate_limit": "60",
    "max_batch_size": "4",
    "max_queued": "8",
    "cache_memory": '"4GB"',
    "cache_disk": '"20GB"',
    "cache_writes": '"100GB/day"',
    "memory_limit": '"24GB"',
    "kv_bits": "8",
    "context": "32768",
    "allow_models": '["coder-8gb", "organisation/name"]',
    "idle_unload": '"30m"',
    "no_speculation": "true",
    "draft_model": '"organisation/small"',
    "temperature": "0.7",
    "top_p": "0.8",
    "top_k": "20",
    "min_p": "0.05",
    "repetition_penalty": "1.05",
    "presence_penalty": "0.5",
    "frequency_penalty": "0.5",
    "thinking": '"off"',
    "max_thinking_tokens": "2048",
    "stall_timeout": '"5m"',
    "no_supervise": "true",
    "log_level": '"info"',
    "log_format": '"json"',
    "log_file": '"pensieve.log"',
    "log_prompts": '"prompts"',
    "alias": '"qwen"',
    "template_arguments": "{ enable_thinking = false }",
}

"""Clients of different namespaces never share a prompt's KV, a prefill, an answer, or a running request (W19)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.values.generation import GenerationStarted
from contracts.values.vocabulary import ChatMessage, ClientIdentity, GenerationRequest, Role
from pensieve.core.prefixes.boundary import Boundary, BoundaryKind
from pensieve.engine.engine import Engine
from pensieve.engine.kv.blocks import root_key
from pensieve.engine.prompt_cache.disk.tier import DiskTier
from pensieve.engine.prompt_cache.store import KVStore
from pensieve.models.files.model_folder import ModelFolder
from tests.engine.prompt_cache.test_prompt_cache import (
    SYSTEM,
    asking,
    engine_of,
    events_of,
    play_with,
    text_of,
    usage_of,
)
from tests.engine.support.tiny_modules import WHOLE_KINDS, prefill, prompt, tiny_module

MIB = 1 << 20
ALICE, BOB = ClientIdentity("alice", "alice"), ClientIdentity("bob", "bob")
CI, EDITOR = ClientIdentity("ci", "team"), ClientIdentity("editor", "team")


def by(client: ClientIdentity, request: GenerationRequest) -> GenerationRequest:
    return replace(request, client=client)


async def cached_tokens(engine: Engine, request: GenerationRequest) -> int:
    return usage_of(await events_of(engine, request)).cached_tokens


def test_usage_shows_the_prefixes_of_the_own_namespace_only(tiny_folder: ModelFolder) -> None:
    async def play(engine: Engine) -> None:
        request = asking("Which one?", system=replace(SYSTEM, text=SYSTEM.text * 6))  # enough to look for a difference
        for client in (ALICE, BOB, CI):
            events = await events_of(engine, by(client, request))
            assert usage_of(events).cached_tokens == 0, f"{client.name} saw another's prefix"
            assert events[0] == GenerationStarted(usage_of(events).input_tokens), "nothing to compare the prompt with"
        whole = usage_of(events).input_tokens
        for client in (ALICE, BOB, EDITOR):
            assert await cached_tokens(engine, by(client, request)) == whole - 1, "its own, or its group's"

    play_with(play, tiny_folder)


def test_a_prefill_is_shared_within_a_namespace_only(tiny_folder: ModelFolder) -> None:
    async def play(engine: Engine) -> None:
        for one, other, shares in ((ALICE, BOB, False), (CI, EDITOR, True)):
            requests = by(one, asking("Which one?")), by(other, asking("Why so?"))
            found = await asyncio.gather(*(cached_tokens(engine, each) for each in requests))
            assert (max(found) > 0) == shares

    play_with(play, tiny_folder)


@pytest.mark.parametrize("is_retry", [False, True])
def test_a_request_joins_a_running_one_of_its_namespace_only(tiny_folder: ModelFolder, *, is_retry: bool) -> None:
    async def play(engine: Engine) -> None:
        request = asking("Which one?", max_tokens=40)
        for client, joins in ((EDITOR, True), (BOB, False)):
            before = engine.prompt_tokens().computed + engine.prompt_tokens().read
            async with aclosing(engine.generate(by(CI, request))) as first:
                await anext(first)
                again = await events_of(engine, replace(by(client, request), is_retry=is_retry))
                async for _ in first:
                    pass
            computed = engine.prompt_tokens().computed + engine.prompt_tokens().read - before
            assert computed == usage_of(again).input_tokens * (1 if joins else 2)

    play_with(play, tiny_folder)


def test_an_answer_is_recalled_in_its_own_namespace_only(tiny_folder: ModelFolder) -> None:
    """Sent back with other white space, an answer has other tokens unless it is recalled."""

    async def play(engine: Engine) -> None:
        question = ChatMessage(Role.USER, "Hi")
        events = await events_of(engine, by(CI, GenerationRequest((question,), 12, asking("").sampling)))
        answer = ChatMessage(Role.ASSISTANT, "\n\n".join(text_of(events).split(" ")))
        back = GenerationRequest((question, answer, ChatMessage(Role.USER, "And?")), 1)
        counted = {
            client.name: await engine.count_tokens(by(client, back).prompt)
            for client in (CI, EDITOR, BOB, ClientIdentity())
        }
        assert counted["ci"] == counted["editor"] != counted["bob"] == counted[""]

    play_with(play, tiny_folder)


def test_a_restart_does_not_open_a_namespace(tiny_folder: ModelFolder, tmp_path: Path) -> None:
    request = asking("Which one? " * 40)

    async def run() -> None:
        async with engine_of(tiny_folder, home=tmp_path) as engine:
            assert await cached_tokens(engine, by(ALICE, request)) == 0
        async with engine_of(tiny_folder, home=tmp_path) as engine:
            assert await cached_tokens(engine, by(BOB, request)) == 0
            assert await cached_tokens(engine, request) == 0
            assert await cached_tokens(engine, by(ALICE, request)) > 200
            assert engine.prompt_tokens().from_disk > 200

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["llama", WHOLE_KINDS[0]])
def test_a_store_keeps_namespaces_apart_in_memory_and_on_disk(kind: str, tmp_path: Path) -> None:
    model, whole = tiny_module(kind), prompt(600)
    store = KVStore(model, limit_bytes=100 * MIB, disk=DiskTier(tmp_path, "model", limit_bytes=100 * MIB))
    caches = prefill(model, whole[:-1])
    store.insert(whole[:-1], caches, [Boundary(300, BoundaryKind.SYSTEM)], namespace="alice")
    for _ in range(2):
        assert store.cached_tokens(whole, namespace="alice") == store.match(whole, namespace="alice").num_tokens == 599
        for other in ("bob", ""):
            assert store.cached_tokens(whole, namespace=other) == store.match(whole, namespace=other).num_tokens == 0
            assert store.bytes_of(whole, namespace=other) == 0
            assert store.is_empty(namespace=other)
        store.close(30.0)
        store = KVStore(model, limit_bytes=100 * MIB, disk=DiskTier(tmp_path, "model", limit_bytes=100 * MIB))
    assert store.insert(whole[:-1], caches, namespace="bob") == 599
    store.close(30.0)


def test_names_of_files_do_not_confirm_a_guess_of_a_prompt(tmp_path: Path) -> None:
    """Two machines with the same model and prompt have files of different names."""
    model, whole = tiny_module("llama"), prompt(600)
    names = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        store = KVStore(model, limit_bytes=100 * MIB, disk=DiskTier(folder, "model", limit_bytes=100 * MIB))
        store.insert(whole, prefill(model, whole))
        store.close(30.0)
        names.append({path.name for path in folder.glob("*.kv")})
        assert (folder / ".secret").stat().st_mode & 0o777 == 0o600
    assert len(names[0]) == len(names[1]) > 0
    assert not names[0] & names[1]


def test_blocks_of_versions_without_a_secret_are_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, whole = tiny_module("llama"), prompt(600)
    with monkeypatch.context() as patch:
        patch.setattr("pensieve.engine.prompt_cache.disk.tier.root_key", lambda fingerprint, *_: root_key(fingerprint))
        store = KVStore(model, limit_bytes=100 * MIB, disk=DiskTier(tmp_path, "model", limit_bytes=100 * MIB))
        store.insert(whole, prefill(model, whole))
        store.close(30.0)
    tier = DiskTier(tmp_path, "model", limit_bytes=100 * MIB)
    assert tier.find(whole).num_tokens == 600
    assert tier.find(whole, "alice").num_tokens == 0


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_damaged_secret_is_replaced(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ".secret").write_bytes(content)
    tier = DiskTier(tmp_path, "model", limit_bytes=MIB)
    again = DiskTier(tmp_path, "model", limit_bytes=MIB)
    assert tier.places([1, 2, 3]) == again.places([1, 2, 3])
    assert len((tmp_path / ".secret").read_bytes()) == 32

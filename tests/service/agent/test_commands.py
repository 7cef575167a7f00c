"""Commands over HTTP: done once, refused when stale, answered even when the bot is stuck."""

import asyncio
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.service.agent.conftest import METRICS_TOKEN, Asker, Bot
from trading_ops.agent import Agent, FenceKeeper


async def test_command_is_carried_out_in_the_bot(ask: Asker, bot: Bot) -> None:
    """A command runs once and its answer tells when and what."""
    attempt_id = str(uuid4())
    status, answer = await ask.command(
        "restart_component", attempt_id=attempt_id, component="broker"
    )
    assert status == 200
    assert answer["attempt_id"] == attempt_id
    assert (answer["outcome"], answer["detail"]) == ("succeeded", "ran 1 times")
    assert answer["started_at"] <= answer["ended_at"]
    assert answer["repeated"] is False
    assert bot.ran == [{"component": "broker"}]


async def test_repeated_attempt_gets_the_first_answer(
    ask: Asker, bot: Bot, start: Callable[[], Agent], http: aiohttp.ClientSession
) -> None:
    """The same attempt runs once, also over a restart, and can be asked about."""
    attempt_id = str(uuid4())
    _, first = await ask.command("count", attempt_id=attempt_id)
    _, second = await ask.command("count", attempt_id=attempt_id)
    again = Asker(http, f"http://127.0.0.1:{start().port}")
    _, third = await again.command("count", attempt_id=attempt_id)
    status, stored = await again.get(f"/attempts/{attempt_id}")
    assert status == 200
    assert second == third == stored == first | {"repeated": True}
    assert len(bot.ran) == 1


async def test_repeat_while_running_waits_for_the_first(ask: Asker, bot: Bot) -> None:
    """A sender that lost patience and asks again gets the one answer, with one effect."""
    attempt_id = str(uuid4())
    first = asyncio.create_task(ask.command("wait", attempt_id=attempt_id))
    await asyncio.to_thread(bot.entered.wait, 5)
    second = asyncio.create_task(ask.command("wait", attempt_id=attempt_id))
    bot.hold.set()
    (_, answered), (_, two) = await asyncio.gather(first, second)
    assert (answered["repeated"], two["repeated"]) == (False, True)
    assert len(bot.ran) == 1


async def test_running_attempt_is_reported_as_running(ask: Asker, bot: Bot) -> None:
    """Raising the fence does not hide what was admitted before: it is running, then answered."""
    attempt_id = str(uuid4())
    assert (await ask.get(f"/attempts/{attempt_id}"))[0] == 404
    first = asyncio.create_task(ask.command("wait", attempt_id=attempt_id, fence=1))
    await asyncio.to_thread(bot.entered.wait, 5)
    assert await ask.post("/fence", {"fence": 2}) == (200, {"highest": 2})
    reply = await ask.get(f"/attempts/{attempt_id}")
    assert reply == (200, {"attempt_id": attempt_id, "outcome": "running"})
    bot.hold.set()
    _, answer = await first
    assert await ask.get(f"/attempts/{attempt_id}") == (200, answer | {"repeated": True})
    assert answer["outcome"] == "succeeded"


async def test_admitted_attempt_is_never_unknown(ask: Asker, bot: Bot) -> None:
    """Asked about all the time, an attempt goes from unknown to running to answered, and stays."""
    attempt_id = str(uuid4())
    command = asyncio.create_task(ask.command("wait", attempt_id=attempt_id))
    seen: list[str] = []
    while seen[-1:] != ["succeeded"]:
        status, reply = await ask.get(f"/attempts/{attempt_id}")
        seen.append("unknown" if status == 404 else reply["outcome"])
        assert len(seen) < 5000
        if bot.entered.is_set() and seen.count("running") > 3:
            bot.hold.set()
    await command
    assert [state for state, _ in itertools.groupby(seen)][-2:] == ["running", "succeeded"]
    assert "unknown" not in seen[seen.index("running") :]


async def test_attempt_id_belongs_to_one_command(ask: Asker, bot: Bot) -> None:
    """An id that was used for another command is a mistake, not a repetition."""
    attempt_id = str(uuid4())
    await ask.command("count", attempt_id=attempt_id)
    status, answer = await ask.command("fail", attempt_id=attempt_id)
    assert (status, answer["error"]) == (422, "bad_request")


async def test_stale_fence_is_refused(
    ask: Asker, bot: Bot, start: Callable[[], Agent], http: aiohttp.ClientSession
) -> None:
    """A sender that was replaced is refused, also after a restart; the holder continues."""
    assert (await ask.command("count", fence=5))[0] == 200
    assert (await ask.command("count", fence=4)) == (409, {"error": "stale_fence", "highest": 5})
    assert await ask.post("/fence", {"fence": 7}) == (200, {"highest": 7})
    assert await ask.post("/fence", {"fence": 6}) == (200, {"highest": 7})
    again = Asker(http, f"http://127.0.0.1:{start().port}")
    assert (await again.command("count", fence=6)) == (409, {"error": "stale_fence", "highest": 7})
    assert (await again.command("count", fence=7))[0] == 200
    assert len(bot.ran) == 2


@pytest.mark.parametrize(
    "token", ["", "wrong", METRICS_TOKEN, "agent-" + "a" * 31, "agent-" + "a" * 33]
)
async def test_only_the_agent_token_commands(ask: Asker, bot: Bot, token: str) -> None:
    """Any other token, the one for metrics too, is refused and nothing is done."""
    body = {"attempt_id": "1", "fence": 1, "params": {}}
    for path in ("/commands/count", "/commands/halt", "/commands/unknown", "/fence"):
        assert (await ask.post(path, body, token=token))[0] == 401
    assert (await ask.get("/attempts/1", token=token))[0] == 401
    assert bot.ran == []


async def test_other_schemes_are_refused(ask: Asker) -> None:
    """No header and a scheme that is not Bearer are refused."""
    for headers in ({}, {"Authorization": f"Basic {METRICS_TOKEN}"}):
        async with ask.http.get(f"{ask.url}/health", headers=headers) as answer:
            assert answer.status == 401


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("count", {"fence": 1}, "attempt_id"),
        ("count", {"attempt_id": "", "fence": 1}, "attempt_id"),
        ("count", {"attempt_id": "x" * 129, "fence": 1}, "attempt_id"),
        ("count", {"attempt_id": 7, "fence": 1}, "attempt_id"),
        ("count", {"attempt_id": "1"}, "fence"),
        ("count", {"attempt_id": "1", "fence": -1}, "fence"),
        ("count", {"attempt_id": "1", "fence": True}, "fence"),
        ("count", {"attempt_id": "1", "fence": "1"}, "fence"),
        ("count", {"attempt_id": "1", "fence": 2**63}, "fence"),
        ("count", [], "fence"),
        ("count", {"attempt_id": "1", "fence": 1, "params": []}, "params"),
        ("count", {"attempt_id": "1", "fence": 1, "params": {"more": "x"}}, "params.more"),
        ("restart_component", {"attempt_id": "1", "fence": 1}, "params.component"),
        (
            "restart_component",
            {"attempt_id": "1", "fence": 1, "params": {"component": "engine"}},
            "one of broker, feed",
        ),
        (
            "restart_component",
            {"attempt_id": "1", "fence": 1, "params": {"component": 1}},
            "params.component",
        ),
        ("halt", {"attempt_id": "1", "fence": 1, "params": {"owner": "me"}}, "params.reason"),
        (
            "halt",
            {"attempt_id": "1", "fence": 1, "params": {"owner": "me", "reason": "x" * 501}},
            "params.reason",
        ),
    ],
)
async def test_wrong_request_names_its_field(
    ask: Asker, bot: Bot, name: str, body: object, message: str
) -> None:
    """What is missing or wrong is named, and nothing is done."""
    status, answer = await ask.post(f"/commands/{name}", body)
    assert status == 422
    assert message in answer["detail"]
    assert bot.ran == []


async def test_unknown_command_is_not_found(ask: Asker) -> None:
    """The answer names the commands that there are."""
    status, answer = await ask.command("sell_everything")
    assert status == 404
    assert "restart_component" in answer["detail"]


@pytest.mark.parametrize(
    ("raw", "status"), [(b"{not json", 422), (b"x" * 70_000, 413)], ids=["no json", "too long"]
)
async def test_body_is_bounded_json(ask: Asker, raw: bytes, status: int) -> None:
    """A body that is not JSON or too long is refused."""
    headers = {"Authorization": f"Bearer {'agent-' + 'a' * 32}"}
    url = f"{ask.url}/commands/count"
    async with ask.http.post(url, data=raw, headers=headers) as answer:
        assert answer.status == status


async def test_slow_body_is_cut_off(ask: Asker) -> None:
    """A sender that does not finish its body is answered within the read deadline."""
    port = int(ask.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /commands/count HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n"
        b"Authorization: Bearer agent-" + b"a" * 32 + b"\r\n\r\n{"
    )
    line = await asyncio.wait_for(reader.readline(), 5)
    assert line.split()[1] == b"408"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("name", "detail"), [("fail", "the venue said no"), ("crash", "KeyError: 'oops'")]
)
async def test_failure_is_an_answer(ask: Asker, name: str, detail: str) -> None:
    """A command that fails or crashes answers failed with the reason, and is not run again."""
    attempt_id = str(uuid4())
    status, answer = await ask.command(name, attempt_id=attempt_id)
    assert (status, answer["outcome"], answer["detail"]) == (200, "failed", detail)
    assert (await ask.command(name, attempt_id=attempt_id))[1]["repeated"] is True


async def test_stuck_loop_does_not_silence_the_agent(ask: Asker, bot: Bot) -> None:
    """With the bot's loop blocked a command fails in time, and health and halt answer at once."""
    release = bot.block()
    try:
        status, answer = await ask.command("count")
        assert (status, answer["outcome"]) == (200, "failed")
        assert "0.5 s" in answer["detail"]
        began = time.perf_counter()
        health: dict[str, Any]
        status, health = await ask.get("/health")
        assert (status, health["state"]) == (200, "active")
        status, answer = await ask.command("halt", owner="reconciler", reason="the loop is stuck")
        assert (status, answer["outcome"]) == (200, "succeeded")
        status, health = await ask.get("/health")
        assert health["state"] == "halted"
        assert time.perf_counter() - began < 5
    finally:
        release.set()
    # What had waited for the loop was cancelled: it does not run minutes late.
    assert (await ask.command("fail"))[0] == 200
    assert bot.ran == []


async def test_command_in_a_bot_that_goes_away_fails(ask: Asker, bot: Bot) -> None:
    """A command that is cancelled with the bot's tasks is answered as failed."""
    running = asyncio.create_task(ask.command("wait"))
    await asyncio.to_thread(bot.entered.wait, 5)

    def cancel_all() -> None:
        for task in asyncio.all_tasks(bot.loop):
            task.cancel()

    bot.loop.call_soon_threadsafe(cancel_all)
    status, answer = await running
    assert (status, answer["outcome"]) == (200, "failed")
    assert "stopping" in answer["detail"]


async def test_unwritable_state_refuses_all_but_the_safe_direction(
    ask: Asker, agent: Agent, bot: Bot, tmp_path: Path
) -> None:
    """Without a disk nothing is done that must be fenced, but a halt is in force at once."""
    for name in (".fence.json.new", ".holds.json.new"):
        (tmp_path / name).mkdir()  # makes every write fail, for root as well
    status, answer = await ask.command("count", fence=9)
    assert (status, answer["error"]) == (503, "state_not_stored")
    assert (await ask.post("/fence", {"fence": 9}))[0] == 503
    status, answer = await ask.command("halt", fence=9, owner="me", reason="the disk is full")
    assert (status, answer["outcome"]) == (200, "failed")
    assert "is in force" in answer["detail"]
    assert agent.holds.state == "halted"
    status, answer = await ask.command("resume", fence=9, owner="me", reason="try", holds="all")
    assert (status, agent.holds.state) == (503, "halted")
    (tmp_path / ".fence.json.new").rmdir()
    status, answer = await ask.command("resume", fence=9, owner="me", reason="try", holds="all")
    assert (answer["outcome"], agent.holds.state) == ("failed", "halted")
    assert bot.ran == []


async def test_an_attempt_in_whose_middle_the_bot_died_is_unknown(
    start: Callable[[], Agent], http: aiohttp.ClientSession, bot: Bot, tmp_path: Path
) -> None:
    """It is never reported as not arrived; what may be repeated is, and what may not is not."""
    keeper = FenceKeeper(tmp_path / "fence.json")
    for attempt_id, command in (("a", "count"), ("b", "resume")):
        keeper.admit("alpha", 1, attempt_id=attempt_id, mark={"command": command})
    ask = Asker(http, f"http://127.0.0.1:{start().port}")
    for attempt_id in ("a", "b"):
        status, reply = await ask.get(f"/attempts/{attempt_id}")
        assert (status, reply["outcome"]) == (200, "unknown")
    _, answer = await ask.command("count", attempt_id="a")
    assert (answer["outcome"], len(bot.ran)) == ("succeeded", 1)
    await ask.command("halt", owner="ada", reason="later")
    _, answer = await ask.command("resume", attempt_id="b", owner="ada", reason="x", holds="all")
    assert answer["outcome"] == "unknown"
    assert (await ask.get("/health"))[1]["state"] == "halted"


async def test_a_halt_is_not_marked_on_the_disk_first(
    ask: Asker, agent: Agent, tmp_path: Path
) -> None:
    """The safe direction is in force before anything is written."""
    (tmp_path / ".fence.json.new").mkdir()
    _, answer = await ask.command("halt", fence=0, owner="ada", reason="no disk")
    assert (answer["outcome"], agent.holds.state) == ("succeeded", "halted")

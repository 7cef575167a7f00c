"""A bot of the running stack is restarted in order and updated, as a user would."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Stack
from tests.waiting import eventually

pytestmark = pytest.mark.long


def life(stack: Stack) -> str:
    return str(stack.processes()["bot-alpha"]["incarnation"])


def journal(stack: Stack, event: str) -> list[dict[str, Any]]:
    (path,) = stack.settings.var.glob("*/journal.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line["event"] == event and line.get("account") == "alpha"]


def release(stack: Stack, name: str, text: str) -> None:
    path: Path = stack.settings.var / "versions" / name / "bin" / "python"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o700)


def none_doubled(stack: Stack) -> bool:
    sent = [entry["client_order_id"] for entry in journal(stack, "order_added")]
    return len(sent) == len(set(sent))


def test_a_bot_is_restarted_in_order(stack: Stack) -> None:
    """It drains, comes back and trades; without --drain a bot that is well is left alone."""
    before = life(stack)
    refused = stack.run("restart", "alpha", "--reason", "x")
    assert (refused.returncode, life(stack)) == (1, before)
    assert "reports that it is healthy" in refused.stderr
    code, reply = stack.json("restart", "alpha", "--drain", "--reason", "settings")
    assert (code, reply["restarted"]) == (0, True)
    assert life(stack) != before
    assert none_doubled(stack)


async def test_a_restart_needs_no_reconciler(stack: Stack) -> None:
    """The supervisor's own update is announced, and it reports the same incarnation."""
    before = life(stack)
    await asyncio.to_thread(stack.supervisor.stop, "reconciler")
    try:
        done = await asyncio.to_thread(stack.run, "restart", "alpha", "--drain", "--reason", "x")
        assert (done.returncode, life(stack) != before) == (0, True), done.stderr
        assert "Using the supervisor directly" in done.stderr
    finally:
        await asyncio.to_thread(stack.supervisor.start, "reconciler")
        ready = lambda: stack.processes()["reconciler"]["state"] == "ready"  # noqa: E731
        await eventually(ready, within=60)


def test_an_update_stays_and_a_sick_one_is_taken_back(stack: Stack) -> None:
    """The exit code tells, the window is closed again, and orders are placed once."""
    release(stack, "good", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    release(stack, "sick", "#!/bin/sh\nexit 3\n")
    code, reply = stack.json("update", "alpha", "--to", "good", "--reason", "release 2")
    assert (code, reply["outcome"]) == (0, "succeeded"), reply
    code, reply = stack.json("update", "alpha", "--to", "sick", "--reason", "release 3")
    assert (code, reply["rolled_back"]) == (1, True), reply
    assert "it ended with code 3" in reply["detail"]
    assert "no maintenance" in stack.run("maintenance", "list").stdout
    kept = json.loads((stack.settings.var / "units" / "bot-alpha.json").read_text())
    assert kept["proven"].endswith("versions/good/bin/python")
    assert [result["result"].partition(";")[0] for result in kept["results"]] == [
        "well",
        "it ended with code 3",
    ]
    assert none_doubled(stack)
    nothing = stack.run("update", "alpha", "--to", "absent", "--reason", "x")
    assert nothing.returncode == 4
    assert "is not there" in nothing.stderr

"""A process that answers for a bot must be the one that its service manager runs."""

from dataclasses import dataclass
from typing import Any, cast

import pytest

from tests.builders import make_target
from trading_ops.actions.base import Clients, find_impostor
from trading_ops.clients.agent import BotHealth
from trading_ops.clients.node import Process
from trading_ops.domain.target import Kind
from trading_ops.errors import Unreachable

DEAD = None
UNDER_SYSTEMD = Process(unit="a", state="active", incarnation="5d1f", reported="1:1", pid=1)
BY_COMMAND = Process(unit="a", state="running", incarnation="5d1f", reported=None)
RUNS = Process(unit="bot-alpha", state="ready", incarnation="1:1", pid=1)
ENDED = Process(unit="bot-alpha", state="exited", incarnation="1:1", pid=None)
NEVER_RAN = Process(unit="bot-alpha", state="stopped")
ANOTHER = Process(unit="bot-alpha", state="ready", incarnation="2:2", pid=2)


@dataclass
class Seen:
    """What agent and service manager say, one answer after the other; the last one stays."""

    claims: list[str | None]
    processes: list[Process | None]

    def bot(self, target: object) -> Any:
        del target
        return self

    unit = bot

    async def health(self) -> BotHealth:
        claim = self.claims.pop(0) if len(self.claims) > 1 else self.claims[0]
        if claim is None:
            raise Unreachable("connection refused")
        return BotHealth(bot="a", status="ok", incarnation=claim, state="active", components={})

    async def process(self) -> Process:
        found = self.processes.pop(0) if len(self.processes) > 1 else self.processes[0]
        if found is None:
            raise Unreachable("connection refused")
        return found


@pytest.mark.parametrize(
    ("claims", "processes", "named"),
    [
        (["1:1"], [RUNS], None),
        (["7:7"], [RUNS], "process 7:7 answers for alpha, but its service manager runs 1:1"),
        (["1:1"], [ENDED], "process 1:1 answers for alpha, but its service manager runs nothing"),
        (["1:1"], [NEVER_RAN], None),
        ([DEAD], [RUNS], None),
        (["1:1"], [UNDER_SYSTEMD], None),
        (["7:7"], [UNDER_SYSTEMD], "its service manager runs 1:1"),
        (["7:7"], [BY_COMMAND], None),
        (["7:7"], [None], None),
        (["1:1", "2:2"], [ANOTHER], None),
        (["1:1"], [ENDED, RUNS], None),
        (["x" * 4000], [RUNS], "process " + "x" * 40 + " answers"),
    ],
)
async def test_who_answers(
    claims: list[str | None], processes: list[Process | None], named: str | None
) -> None:
    """What is not known proves nothing, nor does a restart between the two questions."""
    found = await find_impostor(cast(Clients, Seen(claims, processes)), make_target())
    assert found is None if named is None else named in str(found)


@pytest.mark.parametrize("over", [{"service": None}, {"kind": Kind.FREQTRADE}])
async def test_what_no_service_manager_of_ours_runs_is_not_asked(over: dict[str, Any]) -> None:
    """Nothing is known to compare with."""
    seen = cast(Clients, Seen(["7:7"], [RUNS]))
    assert await find_impostor(seen, make_target(**over)) is None

"""A restart probes the bot first, and distinguishes an overloaded bot from a dead one."""

import contextlib
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from trading_ops.actions.base import Call, Clients
from trading_ops.actions.restart_bot import RestartBot
from trading_ops.clients.agent import BotHealth, CommandResult
from trading_ops.clients.node import Process
from trading_ops.errors import ActionError, ClientError, Cut, Unreachable

FAILING = BotHealth(bot="alpha", status="failing", incarnation="1:1", state="active", components={})
HEALTHY = BotHealth(bot="alpha", status="ok", incarnation="1:1", state="active", components={})
CUT, DEAD = Cut("the connection was ended"), Unreachable("connection refused")


@dataclass
class Bot:
    """Answers one thing after the other."""

    answers: list[ClientError | BotHealth]
    asked: list[object] = field(default_factory=list)
    pid: int | None = 1
    restarts: int = 0
    outcome: str = "succeeded"

    def bot(self, target: object) -> Any:
        self.asked.append(target)
        return self

    def unit(self, target: object) -> Any:
        self.asked.append(target)
        return self

    async def process(self) -> Process:
        return Process(unit="alpha", state="active", incarnation="1:1", pid=self.pid)

    async def restart(self, **_order: object) -> CommandResult:
        self.restarts += 1
        return CommandResult(outcome=self.outcome, detail="restarted", log=["its last line"])

    async def health(self) -> BotHealth:
        answer = self.answers.pop(0)
        if isinstance(answer, ClientError):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("answers", "refused"),
    [
        ([DEAD], False),
        ([FAILING], False),
        ([CUT, DEAD], False),
        ([CUT, FAILING], False),
        ([CUT, CUT], True),
    ],
)
async def test_precondition(
    call: Call, answers: list[ClientError | BotHealth], refused: bool
) -> None:
    """One cut may be what is left of an earlier life; two in a row are an agent that runs."""
    restart = RestartBot(cast(Clients, Bot(answers)))
    result = await restart.precondition(call)
    assert (result is not None) is refused
    assert not answers
    assert result is None or "overloaded" in result


async def test_a_bot_that_answers_once_its_host_does_is_not_restarted(call: Call) -> None:
    """The network to its host was cut: it looked dead, and the order would have waited."""
    bot = Bot([DEAD, HEALTHY])
    restart = RestartBot(cast(Clients, bot))
    assert await restart.precondition(call) is None
    with pytest.raises(ActionError, match="healthy"):
        await restart.perform(call)
    assert bot.restarts == 0


@pytest.mark.parametrize(("pid", "answers"), [(None, []), (1, [DEAD]), (1, [FAILING])])
async def test_a_dead_or_silent_bot_is_restarted(
    call: Call, pid: int | None, answers: list[ClientError | BotHealth]
) -> None:
    """A dead process is not asked again."""
    bot = Bot(answers, pid=pid)
    assert await RestartBot(cast(Clients, bot)).perform(call) == "restarted"
    assert (bot.restarts, bot.answers) == (1, [])


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
async def test_the_last_lines_of_the_dead_process_are_kept(call: Call, outcome: str) -> None:
    """Also if it could not be started again: then they say why."""
    with contextlib.suppress(ActionError):
        await RestartBot(cast(Clients, Bot([], pid=None, outcome=outcome))).perform(call)
    assert call.log == ["its last line"]

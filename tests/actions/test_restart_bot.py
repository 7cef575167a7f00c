"""A restart asks the bot first, and tells one that is overloaded from one that is dead."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from trading_ops.actions.base import Call, Clients
from trading_ops.actions.restart_bot import RestartBot
from trading_ops.clients.agent import BotHealth
from trading_ops.errors import ClientError, Cut, Unreachable

FAILING = BotHealth(bot="alpha", status="failing", incarnation="1:1", state="active", components={})
CUT, DEAD = Cut("the connection was ended"), Unreachable("connection refused")


@dataclass
class Bot:
    """Answers one thing after the other."""

    answers: list[ClientError | BotHealth]
    asked: list[object] = field(default_factory=list)

    def bot(self, target: object) -> Any:
        self.asked.append(target)
        return self

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
    said = await restart.precondition(call)
    assert (said is not None) is refused
    assert not answers
    assert said is None or "overloaded" in said

"""What is known of a restart that was ordered, also when the reconciler is lost on the way."""

from typing import Any, cast

import pytest

from trading_ops import clock
from trading_ops.cli.restart import _RegisteredBots
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.clients.reconciler_views import ActionOutcomeView, AttemptView, RefusalView
from trading_ops.errors import Refused, TradingOpsError, Unreachable


def attempt(state: str) -> ActionOutcomeView:
    at = clock.now()
    made = AttemptView("a", "restart_bot", "alpha", state, at, at, None, "why")
    return ActionOutcomeView(attempt=made, refusal=None, approval=None)


REFUSED = ActionOutcomeView(None, RefusalView("paused", "paused by anna", "resume"), None)


class Api:
    """A reconciler that refuses to tell what became of an attempt."""

    async def attempt(self, _key: str) -> AttemptView:
        raise Refused("the token has expired")


@pytest.mark.parametrize(
    ("answer", "restarted", "works"),
    [
        (attempt("completed"), True, True),
        (attempt("failed"), False, False),
        (attempt("unknown"), None, False),
        (attempt("started"), None, False),
        (REFUSED, False, False),
        (Refused("401"), False, False),
        (Unreachable("no answer in time"), None, False),
    ],
)
async def test_what_is_known_of_a_restart(
    answer: ActionOutcomeView | TradingOpsError, restarted: bool | None, works: bool
) -> None:
    """Nothing is raised: the bots that were restarted before it are still listed."""

    async def order(_bot: str) -> ActionOutcomeView:
        if isinstance(answer, TradingOpsError):
            raise answer
        return answer

    bots = _RegisteredBots({}, cast(ReconcilerApi, Api()), cast(Any, None), order)
    ordered = await bots.restart("alpha")
    assert (ordered.restarted, ordered.problem is None) == (restarted, works)

"""A command that cannot be carried out says why; it does not look like a crash."""

import pytest

from trading_ops.agent import BadRequest, CommandFailed, Params
from trading_ops.botkit.venue.errors import VenueDown, VenueRefused
from trading_ops.errors import StoreError, TradingOpsError
from trading_ops_lab.paper.bot.commands import failing_with_message


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (VenueDown("the venue is away"), CommandFailed),
        (VenueRefused("EOrder:Unknown order"), CommandFailed),
        (StoreError("the disk is full"), CommandFailed),
        (CommandFailed("it is not up"), CommandFailed),
        (BadRequest("no such queue"), BadRequest),
        (ZeroDivisionError("a bug"), ZeroDivisionError),
    ],
)
async def test_what_is_away_is_reported(error: Exception, expected: type[Exception]) -> None:
    """A bug stays one, and is logged as one."""

    async def run(_params: Params) -> str:
        raise error

    with pytest.raises(expected, match=str(error)):
        await failing_with_message(run)({})


async def test_what_is_done_is_reported() -> None:
    """The command's own word goes through."""

    async def run(params: Params) -> str:
        return f"{params['component']} is up"

    assert issubclass(CommandFailed, TradingOpsError)
    assert await failing_with_message(run)({"component": "feed"}) == "feed is up"

"""A bot that serves bare metrics and has no agent: what docs/instrument-your-bot.md says of it."""

from pathlib import Path

from tests.service.holds.bots import Manager, RealAgent
from tests.service.holds.conftest import Desk
from tests.service.holds.test_agent_monitor import watching
from tests.waiting import eventually
from trading_ops.domain.hold import HeldState
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.serving import serve_metrics


async def test_nothing_is_done_to_it_and_nothing_is_pretended(
    desk: Desk, bot: RealAgent, manager: tuple[Manager, str], tmp_path: Path
) -> None:
    """It counts as unresponsive but is not halted; an operator's halt is not in force."""
    token = tmp_path / "token"
    token.write_text("metrics\n")
    bot.stop()
    served = serve_metrics(BotMetrics(version="1", mode="paper"), bot.port, token_file=token)
    try:
        async with watching(desk) as run:
            await eventually(lambda: run.unresponsive)
            assert await desk.active_holds() == {}
            assert await run.reasons_of("agent_unresponsive") == []
            placed = await desk.holding.place(
                desk.target, HeldState.HALTED, owner="anna", reason="strange prices"
            )
            assert (placed.stored, placed.acknowledged) == (True, False)
        assert manager[0].orders == []
    finally:
        served.close()
        bot.start()

"""The bot's commands, besides those of every agent."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from trading_ops.agent import BadRequest, Command, CommandFailed, Params
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.log_commands import log_commands
from trading_ops.botkit.nonces.issuer import Nonces
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.reconciliation.component import Reconciliation
from trading_ops.botkit.records.commands import records_commands, sqlite_commands
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.stage import queue_commands
from trading_ops.botkit.supervisor import Supervisor
from trading_ops.botkit.suspension import Suspension, suspension_commands
from trading_ops.botkit.throttle import Throttle, throttle_commands
from trading_ops.botkit.venue.broker import Broker
from trading_ops.botkit.venue.errors import VenueRefused
from trading_ops.errors import TradingOpsError
from trading_ops.instrument.topics.components import COMPONENTS
from trading_ops_lab.paper.bot.failover import Failover, leadership_commands
from trading_ops_lab.paper.bot.mode import ModeSwitch
from trading_ops_lab.paper.bot.trading.orders import Orders

RESTART_SECONDS = 8.0
"""How long to wait for a restarted component to be up."""

OWNER_AND_REASON: dict[str, frozenset[str] | None] = {"owner": None, "reason": None}


Run = Callable[[Params], Awaitable[str]]

GO_LIVE = OWNER_AND_REASON | {"confirm": None}


class Parts(Protocol):
    """The parts that the commands use; they exist once the bot has started."""

    book: Book
    broker: Broker
    failover: Failover | None
    mode: ModeSwitch
    nonces: Nonces
    orders: Orders
    reconciliation: Reconciliation
    store: Store
    supervisor: Supervisor
    throttle: Throttle
    suspension: Suspension

    @property
    def records_file(self) -> Path:
        """The file of the records, without failover."""
        ...


def commands_of(parts: Parts) -> dict[str, Command]:
    """Return the commands by name."""

    async def reconnect_broker(_params: Params) -> str:
        return await parts.broker.reconnect()

    async def restart_component(params: Params) -> str:
        return await parts.supervisor.restart(params["component"], within=RESTART_SECONDS)

    async def resync_nonce(_params: Params) -> str:
        above = await parts.nonces.resync()
        if above is None:
            raise CommandFailed("the nonces cannot be moved forward: this instance does not lead")
        return f"nonces were moved forward: the next one is above {above}"

    async def cancel_orders(_params: Params) -> str:
        return f"{await parts.orders.cancel_all()} orders were cancelled"

    async def reconcile_positions(_params: Params) -> str:
        return await parts.reconciliation.check_now()

    async def accept_venue(params: Params) -> str:
        return await parts.reconciliation.accept_venue(params["owner"], params["reason"])

    offered = {
        "reconnect_broker": Command(run=reconnect_broker),
        "restart_component": Command(
            run=restart_component, required={"component": frozenset(COMPONENTS)}
        ),
        "resync_nonce": Command(run=resync_nonce),
        "cancel_orders": Command(run=cancel_orders, safe_direction=True),
        **mode_commands(parts),
        **log_commands(),
        **records_commands(parts),
        **(sqlite_commands(parts, parts.records_file) if parts.failover is None else {}),
        **throttle_commands(parts.throttle),
        **suspension_commands(parts.suspension),
        **queue_commands(parts),
        **leadership_commands(parts),
        "reconcile_positions": Command(run=reconcile_positions, deadline_seconds=30.0),
        "accept_venue": Command(run=accept_venue, required=OWNER_AND_REASON, repeatable=False),
    }
    return {
        name: replace(command, run=failing_with_message(command.run))
        for name, command in offered.items()
    }


def failing_with_message(run: Run) -> Run:
    """Return the command with expected errors as `CommandFailed`: an outage is not a crash."""

    async def run_command(params: Params) -> str:
        try:
            return await run(params)
        except (CommandFailed, BadRequest):
            raise
        except TradingOpsError as error:
            raise CommandFailed(str(error)) from error

    return run_command


def mode_commands(parts: Parts) -> dict[str, Command]:
    """Return the commands that switch between paper and live."""

    async def go_paper(params: Params) -> str:
        # In force and stored first: cancelling may take longer than the command's deadline.
        problem = await _switch_to_paper(parts.mode, params)
        cancelled = await _try_to_cancel(parts.orders)
        held = {
            name: position.quantity
            for name, position in parts.book.positions.items()
            if position.quantity
        }
        stays = ", ".join(f"{quantity} of {name}" for name, quantity in held.items()) or "nothing"
        if problem is not None:
            raise CommandFailed(
                f"{problem}. {cancelled}; as far as this instance knows, {stays} stays open"
            )
        return f"no orders are sent; {cancelled}; {stays} stays open"

    async def go_live(params: Params) -> str:
        await parts.mode.go_live(params["owner"], params["reason"], params["confirm"])
        return f"orders are sent to the venue again, switched by {params['owner']}"

    return {
        "go_paper": Command(run=go_paper, required=OWNER_AND_REASON, safe_direction=True),
        "go_live": Command(run=go_live, required=GO_LIVE, repeatable=False),
    }


async def _switch_to_paper(mode: ModeSwitch, params: Params) -> str | None:
    """Switch to paper; return why it could not be stored, or None. Orders are cancelled anyway."""
    try:
        await mode.go_paper(params["owner"], params["reason"])
    except CommandFailed as error:
        return str(error)
    return None


async def _try_to_cancel(orders: Orders) -> str:
    """Cancel all orders but the stops; return the result as text, also if the venue is down."""
    try:
        return f"{await orders.cancel_all(stops=False)} orders were cancelled"
    except (Unavailable, VenueRefused) as error:
        return f"orders could not be cancelled, the dead man's switch will cancel them: {error}"

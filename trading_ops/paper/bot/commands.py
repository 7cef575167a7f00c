"""What the bot can be asked to do, beside what every agent can."""

from typing import Protocol

from trading_ops.agent import Command, Params
from trading_ops.instrument.entries.components import COMPONENTS
from trading_ops.paper.bot.brokerage.broker import Broker
from trading_ops.paper.bot.reconciliation.component import Reconciliation
from trading_ops.paper.bot.supervisor import Supervisor
from trading_ops.paper.bot.trading.orders import Orders

RESTART_SECONDS = 8.0
"""Within which a restarted component must be up."""

WHO_AND_WHY: dict[str, frozenset[str] | None] = {"owner": None, "reason": None}


class Parts(Protocol):
    """The parts that commands are for; they are there once the bot has started."""

    broker: Broker
    orders: Orders
    reconciliation: Reconciliation
    supervisor: Supervisor


def commands_of(parts: Parts) -> dict[str, Command]:
    """Return the commands by name."""

    async def reconnect_broker(_params: Params) -> str:
        return await parts.broker.reconnect()

    async def restart_component(params: Params) -> str:
        return await parts.supervisor.restart(params["component"], within=RESTART_SECONDS)

    async def cancel_orders(_params: Params) -> str:
        return f"{await parts.orders.cancel_all()} orders were cancelled"

    async def reconcile_positions(_params: Params) -> str:
        return await parts.reconciliation.look_now()

    async def accept_venue(params: Params) -> str:
        return await parts.reconciliation.accept_venue(params["owner"], params["reason"])

    return {
        "reconnect_broker": Command(run=reconnect_broker),
        "restart_component": Command(
            run=restart_component, required={"component": frozenset(COMPONENTS)}
        ),
        "cancel_orders": Command(run=cancel_orders, safe_direction=True),
        "reconcile_positions": Command(run=reconcile_positions, deadline_seconds=30.0),
        "accept_venue": Command(run=accept_venue, required=WHO_AND_WHY, repeatable=False),
    }

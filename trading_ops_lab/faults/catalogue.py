"""The faults that drills inject, each with evidence independent of the remediation.

A fault lasts until something fixes it: none clears automatically.
"""

from collections.abc import Mapping
from typing import Any

import psutil

from trading_ops.domain.target import Kind, Target
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.abandoned_model import AbandonedModel
from trading_ops_lab.faults.account import (
    ExpiredSnooze,
    LockedFolder,
    OrphanedOrder,
    StartedUnder,
    kill,
)
from trading_ops_lab.faults.bad_config import BadPrometheusConfig
from trading_ops_lab.faults.base import Fault
from trading_ops_lab.faults.blocked_backups import BlockedBackups
from trading_ops_lab.faults.busy_account import BusyAccount
from trading_ops_lab.faults.closed_markets import ClosedMarkets
from trading_ops_lab.faults.empty_token import EmptyToken
from trading_ops_lab.faults.foreign_api_client import ForeignApiClient
from trading_ops_lab.faults.frozen_processes import (
    Frozen,
    FrozenAlertmanager,
    FrozenReconciler,
    UnresponsiveBot,
)
from trading_ops_lab.faults.full_disk import FullDisk
from trading_ops_lab.faults.host import LockedRecords, LogFlood, Restarts
from trading_ops_lab.faults.killed_job import KilledJob
from trading_ops_lab.faults.locked_sqlite import LockedStore
from trading_ops_lab.faults.market_crash import MarketCrash
from trading_ops_lab.faults.memory_fragmentation import MemoryFragmentation
from trading_ops_lab.faults.missed_job import MissedJob
from trading_ops_lab.faults.noisy_neighbor import NoisyNeighbor
from trading_ops_lab.faults.pool_exhausted import PoolExhausted
from trading_ops_lab.faults.shared import Shared
from trading_ops_lab.faults.undelivered_messages import UndeliveredMessages
from trading_ops_lab.faults.unexplained_withdrawal import (
    UnexplainedCashWithdrawal,
    UnexplainedWithdrawal,
)


class VenueFault(Fault):
    """A fault of the venue; the evidence is its journal."""

    def __init__(
        self, kind: str, describe: str, fixed_by: str = "", evidence: str = "", **details: Any
    ) -> None:
        """Set the venue's fault and its details; without `fixed_by` it is page-only."""
        self.describe = describe
        self._kind = kind
        self._fixed_by = fixed_by
        self._evidence = evidence
        self._details = details

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Inject it through the fault port."""
        return await scene.faults(bot).inject(self._kind, **self._details)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Clear it at the venue."""
        await scene.faults(bot).clear(key)

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Search the venue's journal for the fix."""
        journal = await scene.faults(bot).journal(since=since)
        fixed_by = (
            entry.event == self._fixed_by and entry.account in {"", bot.name} for entry in journal
        )
        return self._evidence if any(fixed_by) else None


class ThrottlingVenue(VenueFault):
    """It also fires TradingBotRateLimitHigh, whose step does not help either."""

    expected_failures = frozenset({"throttle_load"})


class BotKill(Fault):
    """`kill -9` of the bot's process; the evidence is its process."""

    describe = "the bot's process gets SIGKILL"

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Kill it; return the dead process's id."""
        return str(await kill(scene, bot))

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Read the start time of the current process from the kernel."""
        process = await scene.directory.unit(bot).process()
        if process.pid is None:
            return None
        try:
            started = psutil.Process(process.pid).create_time()
        except psutil.NoSuchProcess:
            return None
        return f"the bot has a new process {process.pid}" if started > since else None


FAULTS: Mapping[str, Fault] = {
    "venue_disconnect": VenueFault(
        "disconnect",
        "the venue drops the bot's session; only a new one works",
        "session_joined",
        "the venue's journal has the bot on a new session",
    ),
    "venue_stale_feed": VenueFault(
        "stale_feed",
        "the open market data connections stay open and fall silent",
        "feed_subscribed",
        "the venue's journal has a new feed subscription",
    ),
    "bot_kill": BotKill(),
    "foreign_api_client": ForeignApiClient(),
    "venue_down": VenueFault("refuse", "the venue refuses every connection"),
    "venue_errors": VenueFault(
        "http_5xx",
        "three in ten of the venue's answers to signed requests are errors",
        methods=["private"],
        probability=0.3,
        seed=1,
    ),
    "venue_throttles": ThrottlingVenue(
        "http_429", "three in ten requests are throttled", probability=0.3, seed=1
    ),
    "venue_late_data": VenueFault(
        "wrong_clock", "the feed's prices are stamped 0.3 s ago", offset_seconds=-0.3
    ),
    "venue_slow_orders": VenueFault(
        "slow", "orders are acknowledged 1.8 s late", methods=["AddOrder"], delay_seconds=1.8
    ),
    "venue_rejects_orders": VenueFault(
        "api_error",
        "the venue rejects every order",
        methods=["AddOrder"],
        error="EOrder:Insufficient funds",
    ),
    "venue_closed": ClosedMarkets(),
    "venue_hides_markets": VenueFault(
        "http_5xx",
        "the venue does not report which of its markets are open",
        methods=["AssetPairs"],
    ),
    "venue_clock_skewed": VenueFault(
        "wrong_clock", "the venue's clock is 30 s ahead", offset_seconds=30
    ),
    "bot_restarts": Restarts(),
    "records_locked": LockedRecords(),
    "log_flood": LogFlood(),
    "exporter_frozen": Frozen(Kind.EXPORTER),
    "alertmanager_frozen": Shared(FrozenAlertmanager()),
    "reconciler_frozen": FrozenReconciler(),
    "reconciler_database_locked": LockedStore(),
    "bot_unresponsive": UnresponsiveBot(),
    "agent_token_empty": EmptyToken(),
    "bot_folder_locked": LockedFolder(),
    "bot_without_history": StartedUnder(
        "the venue does not return the history",
        "api_error",
        methods=["history"],
        error="EGeneral:Invalid arguments",
    ),
    "bot_without_balances": StartedUnder(
        "the venue does not report balances, over REST or its feed", "balance"
    ),
    "orphaned_order": OrphanedOrder(),
    "snooze_expired": ExpiredSnooze(),
    "busy_account": BusyAccount(),
    "model_abandoned": AbandonedModel(),
    "market_crash": MarketCrash(),
    "unexplained_withdrawal": UnexplainedWithdrawal(),
    "unexplained_cash_withdrawal": UnexplainedCashWithdrawal(),
    "memory_fragmentation": MemoryFragmentation(),
    "noisy_neighbor": NoisyNeighbor(),
    "pool_exhausted": PoolExhausted(),
    "full_disk": FullDisk(),
    "backups_blocked": BlockedBackups(),
    "job_killed": KilledJob(),
    "job_missed": MissedJob(),
    "daily_report_missed": MissedJob("report_daily"),
    "messages_undelivered": UndeliveredMessages(),
    "prometheus_config_bad": BadPrometheusConfig(),
    "venue_maintenance": VenueFault(
        "maintenance", "the venue reports maintenance", status="post_only"
    ),
    "venue_refuses_dead_man_switch": VenueFault(
        "api_error",
        "the venue refuses to reset its dead man's switch, without which no pass completes",
        methods=["CancelAllOrdersAfter"],
        error="EGeneral:Invalid arguments",
    ),
}

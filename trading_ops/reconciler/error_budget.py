"""Whether a bot's error budget for availability is spent: then it gets no new release.

The budget is that of the last 30 days, so it recovers as bad days leave the window. A bot of which
nothing is recorded yet has spent nothing. Without an answer of Prometheus it is not known, and the
gate is closed.
"""

import json
from dataclasses import dataclass

from trading_ops.clients.prometheus import Prometheus
from trading_ops.errors import ClientError

OBJECTIVE = "availability"
OVERRIDE = "error budget overridden: "
"""Before the operator's reason, in the audit log."""


@dataclass(frozen=True, kw_only=True)
class ErrorBudget:
    """Asks Prometheus what is left."""

    prometheus: Prometheus

    async def spent(self, bot: str) -> str | None:
        """Return why the bot gets no new release, or None if it may."""
        selector = f'sloth_slo="{OBJECTIVE}", bot={json.dumps(bot)}'
        query = f"slo:period_error_budget_remaining:ratio{{{selector}}}"
        try:
            found = await self.prometheus.query(query)
        except ClientError as error:
            return f"the error budget of {bot} is not known: {error}"
        left = min((one.value for one in found if "bot" in one.labels), default=1.0)
        if left > 0:
            return None
        return (
            f"the error budget of {bot} for {OBJECTIVE} is spent: {1 - left:.0%} of the last 30 "
            "days' budget"
        )

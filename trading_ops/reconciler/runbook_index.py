"""Finds an alert's runbook and target. Labels match registered names only."""

from collections.abc import Mapping
from dataclasses import dataclass

from trading_ops.domain.alert import Alert
from trading_ops.domain.runbook import Runbook
from trading_ops.domain.target import NAMED_BOTS, Registry, Target
from trading_ops.store.incidents import Sighting


@dataclass(frozen=True)
class RunbookIndex:
    """The runbooks and the registry."""

    runbooks: Mapping[str, Runbook]
    registry: Registry

    @property
    def bots(self) -> int:
        """Number of registered bots: the fleet size for relative limits."""
        return sum(one.kind in NAMED_BOTS for one in self.registry)

    def runbook(self, alert: str) -> Runbook | None:
        """Return the runbook of an alert, or None."""
        return self.runbooks.get(alert)

    def target(self, alert: str, labels: Mapping[str, str]) -> Target | None:
        """Return the registered target of the alert's label, or None."""
        book = self.runbooks.get(alert)
        return self.registry.find(labels.get(book.target_label, "")) if book else None

    def sighting(self, alert: Alert) -> Sighting:
        """Return a firing alert with its registered target."""
        target = self.target(alert.name, alert.labels)
        return Sighting(alert=alert, target=target.name if target else None)

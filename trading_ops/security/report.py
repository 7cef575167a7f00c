"""The security report of this host."""

from collections.abc import Iterator

from trading_ops.config.settings import Settings
from trading_ops.domain.report import Finding
from trading_ops.security import dependencies, secrets


def look(settings: Settings) -> Iterator[Finding]:
    """Yield all findings, urgent ones first."""
    found = [
        *secrets.exposed(settings),
        *secrets.copied(settings),
        *secrets.suspected(settings),
        *secrets.expiring(settings),
        *dependencies.vulnerable(settings.vulnerability_database),
        *dependencies.outdated(),
    ]
    yield from sorted(found, key=lambda finding: not finding.fails)

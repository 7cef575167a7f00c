"""PostgreSQL as two sources: activity, which changes each second, and storage.

Each has its own connection, so that a slow query over many tables never hides the state of the
server. A failed reading loses only its own metrics, and the reason is exported as a metric.
"""

from collections.abc import Iterable, Sequence

import psycopg
from prometheus_client.metrics_core import Metric

from trading_ops import clock, logs
from trading_ops.errors import ClientError
from trading_ops.exporter.config import PostgresqlEntry
from trading_ops.exporter.databases.figures import LabelledSamples, printable
from trading_ops.exporter.databases.postgresql import reasons
from trading_ops.exporter.databases.postgresql.activity import ACTIVITY
from trading_ops.exporter.databases.postgresql.reading import MetricQuery, put
from trading_ops.exporter.databases.postgresql.session import MonitoringSession
from trading_ops.exporter.databases.postgresql.statistics import STATISTICS
from trading_ops.exporter.databases.postgresql.storage import storage

_log = logs.get(__name__)

PREFIX = "trading_postgresql_"

PRIVILEGED = """
SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS all_stats
"""


class MetricQueries:
    """Runs readings on one connection, and keeps their results."""

    def __init__(
        self, entry: PostgresqlEntry, readings: Sequence[MetricQuery], session: MonitoringSession
    ) -> None:
        self._entry = entry
        self._readings = readings
        self.session = session
        self.figures = LabelledSamples(PREFIX, entry.name)
        self.absent: dict[str, str] = {}
        self.version = 0

    async def read(self) -> None:
        """Run every reading that the server supports.

        Raises:
            ClientError: there is no connection, or it was lost.
        """
        absent: dict[str, str] = {}
        figures = LabelledSamples(PREFIX, self._entry.name)
        try:
            version, all_stats = await self._greet()
            for reading in self._readings:
                if not reading.fits(version):
                    continue
                if reading.privileged and not all_stats:
                    absent[reading.name] = reasons.PRIVILEGE
                elif (reason := await self._one(reading, figures)) is not None:
                    absent[reading.name] = reason
        except (psycopg.Error, ClientError) as error:
            self.session.close()
            reason = reasons.reason_of(error)
            self.absent = {reasons.CONNECTION: reason}
            raise ClientError(printable(str(error)) or type(error).__name__) from error
        except BaseException:  # cancelled: no answer in time
            self.session.close()
            self.absent = {reasons.CONNECTION: reasons.SILENT}
            raise
        self._log_changes(self.absent, absent)
        self.figures, self.absent, self.version = figures, absent, version

    async def _greet(self) -> tuple[int, bool]:
        """Return the server's version, and whether our role sees the activity of other users."""
        try:
            return await self._introduce()
        except psycopg.OperationalError:
            if self.session.is_new:
                raise
            # The server restarted since the last reading, or our connection was terminated.
            self.session.close()
            return await self._introduce()

    async def _introduce(self) -> tuple[int, bool]:
        version = await self.session.version()
        (role,) = await self.session.rows(PRIVILEGED, {})
        return version, bool(role["all_stats"])

    async def _one(self, reading: MetricQuery, figures: LabelledSamples) -> str | None:
        """Run one reading; return the reason if it fails, unless the connection is lost."""
        try:
            rows = await self.session.rows(reading.query, reading.parameters)
        except psycopg.Error as error:
            if not self.session.is_open:
                raise
            _log.debug("reading_failed", reading=reading.name, reason=printable(str(error)))
            return reasons.reason_of(error)
        put(figures, reading.refine(rows))
        return None

    def _log_changes(self, logged: dict[str, str], absent: dict[str, str]) -> None:
        for name, reason in absent.items():
            if logged.get(name) != reason:
                _log.warning(
                    "figures_absent",
                    database=self._entry.name,
                    reading=name,
                    reason=reason,
                    fix=reasons.FIXES.get(reason, "see docs/databases.md"),
                )


class Postgresql:
    """Health and activity of a server and one of its databases."""

    def __init__(self, entry: PostgresqlEntry) -> None:
        self.name = f"postgresql:{entry.name}"
        self.interval_seconds = entry.interval_seconds
        self.timeout_seconds = entry.timeout_seconds
        self._database = entry.name
        session = MonitoringSession(
            entry, statement_seconds=entry.timeout_seconds / 2, title="activity"
        )
        self.readings = MetricQueries(entry, (*ACTIVITY, *STATISTICS), session)
        self._duration = 0.0

    async def read(self) -> None:
        """Read everything.

        Raises:
            ClientError: the server is unreachable, or refuses the login.
        """
        began = clock.monotonic()
        try:
            await self.readings.read()
        finally:
            self._duration = clock.monotonic() - began

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        """Return the last metrics; for an unreachable server only the state and the reason."""
        state = LabelledSamples(PREFIX, self._database)
        state.put("up", float(fresh))
        state.put("read_duration_seconds", self._duration)
        for reading, reason in self.readings.absent.items():
            state.put("statistic_unavailable", 1.0, reading, reason)
        if fresh:
            state.put("info", 1.0, _shown(self.readings.version))
            yield from self.readings.figures.families()
        yield from state.families()

    def close(self) -> None:
        """Close the connection to the server."""
        self.readings.session.close()


class PostgresqlStorage:
    """Tables and indexes of one database; not connected between two readings."""

    def __init__(self, entry: PostgresqlEntry) -> None:
        self.name = f"postgresql_storage:{entry.name}"
        self.interval_seconds = entry.storage_interval_seconds
        self.timeout_seconds = 2 * entry.timeout_seconds
        self._database = entry.name
        session = MonitoringSession(entry, statement_seconds=entry.timeout_seconds, title="storage")
        self.readings = MetricQueries(entry, storage(entry), session)

    async def read(self) -> None:
        """Read everything.

        Raises:
            ClientError: the server is unreachable, or refuses the login.
        """
        try:
            await self.readings.read()
        finally:
            self.readings.session.close()

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        """Return the last metrics; none for an unreachable server."""
        if not fresh:
            return
        state = LabelledSamples(PREFIX, self._database)
        for reading, reason in self.readings.absent.items():
            state.put("statistic_unavailable", 1.0, reading, reason)
        yield from state.families()
        yield from self.readings.figures.families()

    def close(self) -> None:
        """Close the connection to the server."""
        self.readings.session.close()


def _shown(version: int) -> str:
    return f"{version // 10_000}.{version % 10_000}"

"""The log files of one entry as a source."""

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric

from trading_ops.errors import ClientError
from trading_ops.exporter.config import LogFilesEntry
from trading_ops.exporter.databases.figures import LabelledSamples
from trading_ops.exporter.log_files.follower import LogFollower, LogSnapshot
from trading_ops.exporter.thread import OneAtATime

PREFIX = "trading_log_file_"


class LogFiles:
    """Reads in a thread, because a dead network disk can block a reading."""

    def __init__(self, entry: LogFilesEntry) -> None:
        self.name = f"log_files:{entry.name}"
        self.interval_seconds = entry.interval_seconds
        self.timeout_seconds = entry.timeout_seconds
        self._entry = entry
        self._followed = LogFollower(entry)
        self._thread = OneAtATime[LogSnapshot](self.name)
        self._snapshot: LogSnapshot | None = None

    async def read(self) -> None:
        """Read what was appended to the files.

        Raises:
            ClientError: a folder cannot be listed.
            TradingOpsError: an earlier reading still hangs; there is never more than one thread.
        """
        try:
            self._snapshot = await self._thread.do(self._followed.read)
        except OSError as error:
            raise ClientError(f"{error.filename}: {error.strerror}") from error

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        """Return the counters, and the state of the files if the last reading succeeded."""
        figures = LabelledSamples(PREFIX, self._entry.name)
        if self._snapshot is None:
            return ()
        totals, listing = self._snapshot.totals, self._snapshot.listing
        figures.put("written_bytes_total", totals.written)
        figures.put("unread_bytes_total", totals.unread)
        figures.put("rotations_total", totals.rotations)
        for level, count in totals.lines.items():
            figures.put("lines_total", count, level)
        if fresh:
            figures.put("matched", len(listing.matched))
            figures.put("folder_size_bytes", listing.folder_bytes)
            for reason, count in listing.left_out.items():
                figures.put("dropped", count, reason)
            for seen in listing.matched:
                figures.put("size_bytes", seen.size, seen.path)
                figures.put("modified_timestamp_seconds", seen.modified, seen.path)
        return figures.families()

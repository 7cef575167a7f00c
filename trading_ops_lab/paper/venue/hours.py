"""Market hours of pairs other than coins, including early closes and holidays."""

from datetime import UTC, date, datetime, time
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

SATURDAY: Final = 5


class Hours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The regular session of a market, in its own time zone."""

    timezone: str = "America/New_York"
    opens: time = time(9, 30)
    closes: time = time(16)
    weekdays: frozenset[int] = frozenset(range(SATURDAY))
    """Days of the week with a session; Monday is 0."""

    holidays: frozenset[date] = frozenset()
    early_closes: dict[date, time] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an unknown time zone.

        Raises:
            ValueError: unknown time zone.
        """
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{self.timezone!r} is not a time zone") from error

    def is_open(self, moment: float) -> bool:
        """Return whether the market is open at a time (epoch seconds)."""
        local = datetime.fromtimestamp(moment, tz=UTC).astimezone(ZoneInfo(self.timezone))
        day = local.date()
        if day.weekday() not in self.weekdays or day in self.holidays:
            return False
        closes = self.early_closes.get(day, self.closes)
        return self.opens <= local.time().replace(tzinfo=None) < closes


def _days(*texts: str) -> frozenset[date]:
    return frozenset(date.fromisoformat(text) for text in texts)


NEW_YORK: Final = Hours(
    holidays=_days(
        *("2026-01-01", "2026-01-19", "2026-02-16", "2026-04-03", "2026-05-25", "2026-06-19"),
        *("2026-07-03", "2026-09-07", "2026-11-26", "2026-12-25"),
        *("2027-01-01", "2027-01-18", "2027-02-15", "2027-03-26", "2027-05-31", "2027-06-18"),
        *("2027-07-05", "2027-09-06", "2027-11-25", "2027-12-24"),
    ),
    early_closes=dict.fromkeys(_days("2026-11-27", "2026-12-24", "2027-11-26"), time(13)),
)
"""Sessions of the New York Stock Exchange; later years come from the configuration."""

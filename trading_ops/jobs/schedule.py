"""Schedules: a cron expression in a time zone, or an offset to a trading session; no clock, no I/O.

Each due time is an instant in UTC. For cron on a day when the clock changes:

- a skipped time is due once, at the first moment after the gap;
- a repeated time is due the first time only;
- an expression whose hour is `*` or `*/N` follows elapsed time: nothing is due in the gap, and the
   repeated hour counts twice.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trading_ops.config.files import parse_duration
from trading_ops.domain.job import WRONG_CLOCK
from trading_ops.errors import ConfigError

SESSION = re.compile(
    r"(?P<calendar>[A-Z0-9_]{2,12}) (?P<edge>open|close)"
    r"(?: ?(?P<sign>[+-]) ?(?P<offset>[0-9a-z]+))?"
)
EVERY = re.compile(
    r"(?P<days>day|(?:sun|mon|tue|wed|thu|fri|sat)(?:[-,](?:sun|mon|tue|wed|thu|fri|sat))*)"
    r" (?P<hour>[01]?[0-9]|2[0-3]):(?P<minute>[0-5][0-9])",
    re.IGNORECASE,
)
"""`Sun 02:00`, `Mon-Fri 06:30`, `Sat,Sun 23:15` or `day 04:00`."""

NEAR = timedelta(hours=3)
"""An upper bound of clock changes."""

CRON_FIELDS = 5
LOOK_BACK = tuple(map(timedelta, (0.02, 1.1, 8, 32, 367, 3_000)))
"""How far back a due time is looked for: the first is enough for a schedule of minutes."""


@dataclass(frozen=True)
class TradingSession:
    """One trading session."""

    opens_at: datetime
    closes_at: datetime


@dataclass(frozen=True, kw_only=True)
class Cron:
    """Five fields as in crontab(5), in a time zone."""

    expression: str
    zone: str = "UTC"

    @property
    def follows_elapsed_time(self) -> bool:
        """Return whether the hour is `*` or `*/N`."""
        return self.expression.split()[1].startswith("*")

    def __str__(self) -> str:
        return f"{self.expression} {self.zone}"


@dataclass(frozen=True, kw_only=True)
class AtSession:
    """An offset to each open or close of an exchange."""

    calendar: str
    edge: Literal["open", "close"]
    offset: timedelta

    def __str__(self) -> str:
        if not self.offset:
            return f"{self.calendar} {self.edge}"
        sign, minutes = ("-", -self.offset) if self.offset < timedelta(0) else ("+", self.offset)
        return f"{self.calendar} {self.edge} {sign} {minutes // timedelta(minutes=1)}min"


Schedule = Cron | AtSession


def parse(text: str, zone: str, *, where: str = "", key: str = "") -> Schedule:
    """Parse a schedule.

    Raises:
        ConfigError: it is neither a cron expression nor an offset to a trading session.
    """
    if found := SESSION.fullmatch(text.strip()):
        return _at_session(found, where, key)
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        problem = f"unknown time zone {zone!r}"
        raise ConfigError(where, f"{key}.zone", problem, "write one such as UTC") from error
    schedule = Cron(expression=" ".join(text.split()), zone=zone)
    fix = 'write "MINUTE HOUR DAY MONTH WEEKDAY", or, for example, "XNYS close + 30min"'
    if len(text.split()) != CRON_FIELDS:
        raise ConfigError(where, f"{key}.schedule", f"invalid schedule {text!r}", fix)
    try:
        next(_local_times(schedule, datetime(2026, 1, 1)))  # noqa: DTZ001 - a wall-clock time
    except ValueError as error:
        problem = f"invalid schedule {text!r} ({error})"
        raise ConfigError(where, f"{key}.schedule", problem, fix) from error
    return schedule


def cron_of(every: str) -> str:
    """Return the cron expression of `Sun 02:00`, `Mon-Fri 06:30` or `day 04:00`; others as is."""
    found = EVERY.fullmatch(" ".join(every.split()))
    if found is None:
        return every
    days = "*" if found["days"].lower() == "day" else found["days"].lower()
    return f"{int(found['minute'])} {int(found['hour'])} * * {days}"


def next_due(
    schedule: Schedule,
    last: datetime | None,
    now: datetime,
    sessions: Sequence[TradingSession] = (),
) -> datetime | None:
    """Return the first due time after `last`; it is in the past if runs were missed.

    Args:
        schedule: of the job.
        last: the last due time that was handled; None: the job is new, and starts from now.
        now: the time. If the clock was set back by less than a day, runs are not repeated; a `last`
            that is further ahead came from a wrong clock and is ignored.
        sessions: of the schedule's calendar, sorted; not needed for cron.

    Returns:
        The instant in UTC; None: the stored sessions end before the next due time.
    """
    after = now if last is None or last - now > WRONG_CLOCK else last
    if isinstance(schedule, AtSession):
        moments = (_edge(schedule, session) for session in sessions)
        return min((moment for moment in moments if moment > after), default=None)
    return _next_cron(schedule, after)


def last_due(
    schedule: Schedule, until: datetime, sessions: Sequence[TradingSession] = ()
) -> datetime | None:
    """Return the last due time that is not after `until`; None: none is known.

    Args:
        schedule: of the job.
        until: the latest result.
        sessions: as for `next_due`.
    """
    if isinstance(schedule, AtSession):
        moments = (_edge(schedule, session) for session in sessions)
        return max((moment for moment in moments if moment <= until), default=None)
    found = None
    for back in LOOK_BACK:
        following = _next_cron(schedule, until - back)
        while following <= until:
            found, following = following, _next_cron(schedule, following)
        if found is not None:
            break
    return found


def grace(
    schedule: Schedule, due: datetime, sessions: Sequence[TradingSession] = (), *, most: timedelta
) -> timedelta:
    """Return how late a run may start: a quarter of the time to the next one, at most `most`.

    Args:
        schedule: of the job.
        due: when it is due.
        sessions: as for `next_due`.
        most: the maximum, for a job that runs less often than four times this.
    """
    following = next_due(schedule, due, due, sessions)
    return most if following is None else min(most, (following - due) / 4)


def jitter(name: str, due: datetime, most: timedelta) -> timedelta:
    """Return the delay of a job after `due`: the same on every replica, spread over `most`."""
    seed = hashlib.sha256(f"{name} {due.timestamp():.0f}".encode()).digest()
    return most * (int.from_bytes(seed[:4]) / 2**32)


def _at_session(found: re.Match[str], where: str, key: str) -> AtSession:
    offset = timedelta(0)
    if text := found["offset"]:
        offset = parse_duration(re.sub(r"min$", "m", text), where, f"{key}.schedule")
    edge: Literal["open", "close"] = "open" if found["edge"] == "open" else "close"
    sign = -1 if found["sign"] == "-" else 1
    return AtSession(calendar=found["calendar"], edge=edge, offset=sign * offset)


def _edge(schedule: AtSession, session: TradingSession) -> datetime:
    edge = session.opens_at if schedule.edge == "open" else session.closes_at
    return edge + schedule.offset


def _next_cron(schedule: Cron, after: datetime) -> datetime:
    zone = ZoneInfo(schedule.zone)
    # Start before `after`: a skipped or repeated wall-clock time maps to later instants.
    start = (after - NEAR).astimezone(zone).replace(tzinfo=None)
    if _is_steady(zone, after):
        start = after.astimezone(zone).replace(tzinfo=None)
    best: datetime | None = None
    for local in _local_times(schedule, start):
        first = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if best is not None and first > best + NEAR:
            break
        for moment in _instants(schedule, local, zone):
            if moment > after and (best is None or moment < best):
                best = moment
        if best is not None and _is_steady(zone, best):
            break
    assert best is not None  # noqa: S101 - the iterator does not end without an error
    return best


def _instants(schedule: Cron, local: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    """Return the instants of a wall-clock time: none, one or two."""
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return (first,)
    if first < second:  # a repeated time
        return (first, second) if schedule.follows_elapsed_time else (first,)
    if schedule.follows_elapsed_time:
        return ()
    return (_end_of_gap(second, first, zone),)


def _end_of_gap(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment of the clock change between two instants; both are whole seconds."""
    offset = before.astimezone(zone).utcoffset()
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, tz=zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, tz=UTC)


def _is_steady(zone: ZoneInfo, moment: datetime) -> bool:
    """Return whether the clock does not change near a moment."""
    offsets = {(moment + delta).astimezone(zone).utcoffset() for delta in (-NEAR, NEAR)}
    return len(offsets) == 1


def _local_times(schedule: Cron, after: datetime) -> Iterator[datetime]:
    """Yield matching wall-clock times, in ascending order."""
    from croniter import croniter  # noqa: PLC0415 - only who schedules needs it

    times = croniter(schedule.expression, after, ret_type=datetime, max_years_between_matches=10)
    while True:
        found: datetime = times.get_next(datetime)
        yield found

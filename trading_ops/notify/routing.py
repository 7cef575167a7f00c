"""Which channels get a message, and when: pure functions of notify.yml and a time."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from trading_ops.domain.message import Message
from trading_ops.notify.config import DAYS, Hours, NotificationRoute, NotifyConfig


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One channel for a message."""

    route: str
    channel: str
    due_at: datetime
    digest: bool
    """Whether it may share a mail with others of its route and kind."""


def deliveries(config: NotifyConfig, message: Message, now: datetime) -> list[Delivery]:
    """Return the channels of a message, each once, by the first route that names it."""
    found: dict[str, Delivery] = {}
    for route in config.routes:
        if not _selects(route, message, now, config.zone):
            continue
        due_at = now + route.digest_for
        digest = due_at > now
        if route.quiet is not None and not message.severity.is_urgent:
            end = end_of(route.quiet, due_at, config.zone)
            due_at, digest = (end, True) if end is not None else (due_at, digest)
        for channel in route.to:
            delivery = Delivery(route=route.name, channel=channel, due_at=due_at, digest=digest)
            found.setdefault(channel, delivery)
    return list(found.values())


def _selects(route: NotificationRoute, message: Message, now: datetime, zone: ZoneInfo) -> bool:
    return (
        route.accepts(message.kind)
        and (not route.severities or message.severity in route.severities)
        and (not route.bots or message.bot in route.bots)
        and (route.hours is None or end_of(route.hours, now, zone) is not None)
    )


def end_of(hours: Hours, at: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the end of the hours that contain a time; None: no hours contain it."""
    local = at.astimezone(zone)
    begin, end = time.fromisoformat(hours.begin), time.fromisoformat(hours.end)
    for days_ago in (0, 1):
        day = local.date() - timedelta(days=days_ago)
        if DAYS[day.weekday()] not in hours.days:
            continue
        begins = datetime.combine(day, begin, zone)
        last = day if begin < end else day + timedelta(days=1)
        ends = datetime.combine(last, end, zone)
        # In UTC: comparing local times of one zone ignores daylight saving changes.
        if begins.timestamp() <= at.timestamp() < ends.timestamp():
            return ends.astimezone(at.tzinfo)
    return None

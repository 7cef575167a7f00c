"""notify.yml: which messages go to which channel, when, and how many per hour."""

import datetime as dt
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import yaml

from trading_ops.config.files import load_yaml, parse_duration, problem_of
from trading_ops.domain.message import MessageKind, Severity
from trading_ops.errors import ConfigError

SEE = "see docs/messages.md"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Clock = Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class Hours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours of each day; past midnight if the end is before the start."""

    begin: Clock = msgspec.field(name="from")
    end: Clock = msgspec.field(name="to")
    days: tuple[str, ...] = DAYS
    """Days on which it starts."""


class NotificationRoute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One route; an omitted condition matches everything."""

    name: Name
    to: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    kinds: tuple[MessageKind, ...] = ()
    severities: tuple[Severity, ...] = ()
    bots: tuple[str, ...] = ()
    hours: Hours | None = None
    """The route applies only in these hours."""

    quiet: Hours | None = None
    """Messages that are not critical wait for the end of these hours."""

    digest: str = "0s"
    """How long messages of a kind are collected into one digest."""

    @property
    def digest_for(self) -> dt.timedelta:
        """Return `digest` as a duration."""
        return parse_duration(self.digest)

    def accepts(self, kind: MessageKind) -> bool:
        """Whether messages of this kind may match, by their other properties."""
        return not self.kinds or kind in self.kinds


class NotifyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    version: Annotated[int, msgspec.Meta(ge=1, le=1)]
    routes: Annotated[tuple[NotificationRoute, ...], msgspec.Meta(min_length=1)]
    timezone: str = "UTC"
    """Time zone of `hours`, `quiet` and the times in messages."""

    link: str = ""
    """Base URL of links in messages, such as https://ops.example.com; empty: no links."""

    templates: str = ""
    """Folder of your own templates, relative to notify.yml; they replace shipped ones by name."""

    hourly_limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 60
    """Maximum deliveries per hour to one channel; further messages are collected."""

    @property
    def zone(self) -> ZoneInfo:
        """Return the time zone."""
        return ZoneInfo(self.timezone)

    @property
    def channels(self) -> tuple[str, ...]:
        """Return every channel that a route names."""
        return tuple(sorted({channel for route in self.routes for channel in route.to}))


def zone_of(path: Path) -> str:
    """Return the time zone of a notify.yml; UTC while there is none, or it is invalid."""
    try:
        config = load_notify(path)
    except ConfigError:
        return "UTC"
    return "UTC" if config is None else config.timezone


def load_notify(path: Path) -> NotifyConfig | None:
    """Read notify.yml; None if the file does not exist, so that no messages are sent.

    Raises:
        ConfigError: it cannot be read, or is invalid.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        problem = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(str(path), "", problem.lower(), "make it a readable file") from error
    try:
        data: Any = load_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(str(path), "", problem_of(error), "correct the YAML") from error
    try:
        config = msgspec.convert(data, NotifyConfig)
    except msgspec.ValidationError as error:
        message, _, key = str(error).partition(" - at `$.")
        raise ConfigError(str(path), key.rstrip("`"), message, SEE) from error
    _check(config, path)
    return config


def _check(config: NotifyConfig, path: Path) -> None:
    where = str(path)
    try:
        ZoneInfo(config.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        problem, fix = f"unknown time zone {config.timezone!r}", "such as UTC or America/New_York"
        raise ConfigError(where, "timezone", problem, fix) from error
    if config.link and not config.link.startswith(("https://", "http://")):
        raise ConfigError(where, "link", f"{config.link!r} is not a URL", "write https://HOST")
    if config.templates and not (path.parent / config.templates).is_dir():
        problem = f"the folder {config.templates} does not exist"
        raise ConfigError(where, "templates", problem, "create it, or remove the key")
    seen: set[str] = set()
    for route in config.routes:
        key = f"routes: {route.name}"
        if route.name in seen:
            raise ConfigError(where, key, "two routes have this name", "rename one of them")
        seen.add(route.name)
        if parse_duration(route.digest, where, key) > dt.timedelta(days=1):
            raise ConfigError(where, key, "digest is longer than a day", "at most 24h")
        for hours in (route.hours, route.quiet):
            _check_hours(hours, where, key)


def _check_hours(hours: Hours | None, where: str, key: str) -> None:
    if hours is None:
        return
    if hours.begin == hours.end:
        raise ConfigError(where, key, f"{hours.begin} to {hours.end} is empty", SEE)
    if unknown := set(hours.days) - set(DAYS):
        raise ConfigError(where, key, f"unknown day {min(unknown)!r}", f"one of {', '.join(DAYS)}")
    if not hours.days:
        raise ConfigError(where, key, "`days` is empty", f"some of {', '.join(DAYS)}")

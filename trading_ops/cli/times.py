"""Times and durations on the command line; times are local, with their UTC offset."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import click

from trading_ops import clock
from trading_ops.config.files import parse_duration
from trading_ops.errors import ConfigError


def moment(at: datetime) -> str:
    """Return `2026-03-01 12:00:00+01:00`."""
    return at.astimezone().isoformat(sep=" ", timespec="seconds")


def offset() -> str:
    """Return the current UTC offset, as `+01:00`: the heading for a column of `short` times."""
    return moment(clock.now())[-6:]


def short(at: datetime) -> str:
    """Return a time for a narrow column, in the offset of `offset`: `03-01 12:00:00`.

    In another year: `2025-03-01 12:00`.
    """
    now = clock.now().astimezone()
    text = at.astimezone(now.tzinfo).isoformat(sep=" ", timespec="seconds")
    return text[5:19] if text[:4] == f"{now.year}" else text[:16]


@dataclass(frozen=True)
class Length:
    """A duration as typed, and its value."""

    typed: str
    span: timedelta

    @property
    def seconds(self) -> float:
        """Return it in seconds, as the API takes it."""
        return self.span.total_seconds()


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic only in newer ones
    """Reads `20s`, `30m`, `1h30m` or `90d`; clamps what `timedelta` cannot hold.

    Args:
        at_most: the maximum, as typed.
    """

    name = "duration"

    def __init__(self, at_most: str | None = None) -> None:
        self._at_most = at_most

    def convert(
        self, value: str | Length, param: click.Parameter | None, ctx: click.Context | None
    ) -> Length:
        """Return the length, or fail with the option's name."""
        if isinstance(value, Length):
            return value
        try:
            span = parse_duration(value)
        except ConfigError:
            self.fail(f"invalid duration {value!r}: write it as 20s, 30m or 2h", param, ctx)
        except OverflowError:
            span = timedelta.max
        if not span:
            self.fail(f"{value} must be greater than zero", param, ctx)
        if self._at_most and span > parse_duration(self._at_most):
            self.fail(f"{value} is too long: at most {self._at_most}", param, ctx)
        return Length(value, span)

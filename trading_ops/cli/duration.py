"""Durations on the command line: an invalid one is a usage error that names its option."""

from dataclasses import dataclass
from datetime import timedelta

import click

from trading_ops.config.files import parse_duration
from trading_ops.errors import ConfigError


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
        """Take the limit, which is ours and therefore readable."""
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

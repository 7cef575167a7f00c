"""`capacity.yml`: thresholds, limits and prices of resources that override the defaults.

thresholds:
  disk: {warning: 0.8, critical: 0.95}  # shares of the limit
limits:
  network: 125000000  # where no metric has it: 1 Gbit/s
prices:
  disk: 0.10  # per month and GB
currency: USD
horizon_days: 90
"""

from pathlib import Path
from typing import Annotated

import msgspec

from trading_ops.config.files import read_yaml
from trading_ops.errors import ConfigError

Positive = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares of a resource's limit."""

    warning: Share
    critical: Share
    """The alert of the resource uses the same."""


class Choices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The operator's configuration."""

    thresholds: dict[str, Thresholds] = {}
    limits: dict[str, Positive] = {}
    prices: dict[str, Positive] = {}
    currency: str = "USD"
    horizon_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 90
    """Validity of a recommendation."""

    log_kept_days: Positive | None = None
    """Retention of logs; by default from settings.yml."""


def load_choices(path: Path, known: frozenset[str]) -> Choices:
    """Read the file; without it, the defaults apply.

    Args:
        path: of the file.
        known: the names of all resources.

    Raises:
        ConfigError: the file cannot be read, or names an unknown field or resource.
    """
    if not path.exists():
        return Choices()
    try:
        choices = msgspec.convert(read_yaml(path), Choices)
    except msgspec.ValidationError as error:
        raise ConfigError(str(path), "", str(error), "see docs/capacity.md") from error
    for section in ("thresholds", "limits", "prices"):
        for name in getattr(choices, section):
            if name not in known:
                fix = f"use one of {', '.join(sorted(known))}"
                raise ConfigError(str(path), f"{section}.{name}", "unknown resource", fix)
    for name, threshold in choices.thresholds.items():
        if threshold.warning > threshold.critical:
            raise ConfigError(
                str(path), f"thresholds.{name}", "warning is above critical", "swap them"
            )
    return choices

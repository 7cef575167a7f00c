"""The settings of a bot whose records several instances share."""

from pathlib import Path
from typing import Annotated

import msgspec

from trading_ops.errors import ConfigError

Positive = Annotated[float, msgspec.Meta(gt=0)]


class SharedRecords(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the records are, and how long a lease lasts. The same for all instances of a bot."""

    url_file: Path
    """A file with `postgresql://user:password@host:port/database` in one line."""

    lease_seconds: Positive = 15.0
    """How long an instance leads after its last renewal, by the database's clock."""

    renew_seconds: Positive = 5.0
    """Time between two renewals."""

    margin_seconds: Positive = 5.0
    """So long before its lease could end the leader submits nothing any more."""

    watch_seconds: Positive = 0.5
    """Time between two looks at the lease and at the shared holds."""


def check(shared: SharedRecords, *, request_timeout_seconds: float, where: str) -> None:
    """Check what belongs together.

    Args:
        shared: the settings.
        request_timeout_seconds: for one request to the venue.
        where: the file of the settings.

    Raises:
        ConfigError: a lease could end while a request is under way, or by one lost renewal.
    """
    if shared.margin_seconds < request_timeout_seconds:
        raise ConfigError(
            where,
            "records.margin_seconds",
            f"a request may last {request_timeout_seconds:g} s, and the lease end meanwhile",
            "make it at least request_timeout_seconds",
        )
    if 2 * shared.renew_seconds + shared.margin_seconds > shared.lease_seconds:
        raise ConfigError(
            where,
            "records.lease_seconds",
            "one renewal that fails would stop the leader",
            "make it at least twice renew_seconds and margin_seconds together",
        )

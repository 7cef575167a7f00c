"""The settings of a bot with standby instances: shared records and the lease."""

from pathlib import Path
from typing import Annotated

import msgspec

from trading_ops.errors import ConfigError

Positive = Annotated[float, msgspec.Meta(gt=0)]


class SharedRecords(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shared database and the timing of the lease. The same for all instances of a bot."""

    url_file: Path
    """A file with `postgresql://user:password@host:port/database` on one line."""

    lease_seconds: Positive = 15.0
    """How long a lease lasts after a renewal, by the database's clock."""

    renew_seconds: Positive = 5.0
    """Time between two renewals."""

    margin_seconds: Positive = 5.0
    """How long before the end of its lease the leader stops submitting."""

    watch_seconds: Positive = 0.5
    """Time between two checks of the lease and of the shared holds."""


def check(shared: SharedRecords, *, request_timeout_seconds: float, where: str) -> None:
    """Validate the timing.

    Args:
        shared: the settings.
        request_timeout_seconds: timeout of one request to the venue.
        where: the file of the settings, for the error message.

    Raises:
        ConfigError: the lease could end during a request, or after one failed renewal.
    """
    if shared.margin_seconds < request_timeout_seconds:
        raise ConfigError(
            where,
            "records.margin_seconds",
            f"the lease could end during a request of {request_timeout_seconds:g} s",
            "make it at least request_timeout_seconds",
        )
    if 2 * shared.renew_seconds + shared.margin_seconds > shared.lease_seconds:
        raise ConfigError(
            where,
            "records.lease_seconds",
            "one failed renewal would stop the leader",
            "make it at least twice renew_seconds plus margin_seconds",
        )

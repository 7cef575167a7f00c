"""Certificates for tests, of the CA that `trading-ops tls init` makes."""

from datetime import timedelta
from pathlib import Path

from trading_ops.tls.authority import Authority, Wanted

HOST = "127.0.0.1"
DAYS_90 = timedelta(days=90)


def issue(folder: Path, name: str, *, calls: bool = False, lifetime: timedelta = DAYS_90) -> None:
    """Issue one; the CA is created with the first."""
    Authority(folder).issue(Wanted(name, (HOST,), calls), lifetime)

"""`python -m trading_ops_lab.nonce_rate` prints how many nonces a second this machine issues."""

import tempfile
from pathlib import Path

import click

from trading_ops import clock
from trading_ops.botkit.nonces.exclusive import ExclusiveSource

NONCES = 20_000


def rate(folder: Path) -> float:
    """Return the nonces per second of one process, each durable before it is used."""
    owner = ExclusiveSource(folder / "key")
    try:
        began = clock.monotonic()
        for _ in range(NONCES):
            owner.issue()
        return NONCES / (clock.monotonic() - began)
    finally:
        owner.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        click.echo(f"{rate(Path(folder)):.0f}")

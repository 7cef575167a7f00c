"""Follows a numbered stream of the reconciler, across its restarts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol, TypeVar

import click

from trading_ops.cli.reconciler_connection import connected
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.config.loading import load_settings
from trading_ops.config.targets import load_targets
from trading_ops.errors import Unreachable

AGAIN_SECONDS = 1.0


class Numbered(Protocol):
    """An entry of the stream."""

    seq: int


N = TypeVar("N", bound=Numbered)


async def follow(
    stream: Callable[[ReconcilerApi, int], AsyncIterator[N]], after: int, show: Callable[[N], None]
) -> None:
    """Show every entry after a number, each once, until cancelled."""
    settings = load_settings()
    registry = load_targets(settings.targets_file)
    while True:
        async with connected(settings, registry) as api:
            try:
                async for event in stream(api, after):
                    show(event)
                    after = event.seq
            except Unreachable as error:
                click.echo(f"{error}; trying again", err=True)
        await asyncio.sleep(AGAIN_SECONDS)

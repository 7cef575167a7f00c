"""The reconciler process: runs in the foreground until SIGTERM (`python -m trading_ops.app`)."""

import asyncio
import gc
import os
import signal
import sys

from aiohttp import web

from trading_ops import logs, service_notify
from trading_ops.app.base import own_entry
from trading_ops.app.build import build
from trading_ops.bounded_site import BoundedSite
from trading_ops.config.last_good import keep_last_good
from trading_ops.config.settings import Settings, load_settings
from trading_ops.config.targets import load_targets, split_address
from trading_ops.domain.target import Registry
from trading_ops.errors import TradingOpsError
from trading_ops.store import migrate
from trading_ops.tls.contexts import TlsFiles, serving

log = logs.get(__name__)

KEEPALIVE_SECONDS = 75.0
SHUTDOWN_SECONDS = 2.0
CONNECTIONS = 512
"""Maximum connections: below the usual file descriptor limit, enough for an alert storm."""


async def serve(settings: Settings, registry: Registry, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then shut down gracefully."""
    entry = own_entry(settings, registry)
    host, port = split_address(entry.address)
    # Browsers have no client certificate, so clients without one are authenticated by token.
    files = TlsFiles(settings.tls, entry.name)
    tls = serving(files, every_client=False) if entry.tls else None
    async with build(settings, registry) as reconciler:
        runner = web.AppRunner(
            reconciler.application,
            keepalive_timeout=KEEPALIVE_SECONDS,
            shutdown_timeout=SHUTDOWN_SECONDS,
            auto_decompress=False,
        )
        await runner.setup()
        tasks = reconciler.tasks
        async with (
            tasks.running("loop", reconciler.loop.run),
            tasks.running("agents", reconciler.watch.run),
        ):
            try:
                await BoundedSite(runner, host, port, connections=CONNECTIONS, tls=tls).start()
                log.info("reconciler_started", address=f"{host}:{port}")
                async with service_notify.ready(reconciler.loop.turns):
                    await stop.wait()
            finally:
                await runner.cleanup()
    log.info("reconciler_stopped")


async def migrate_apart(settings: Settings) -> None:
    """Migrate in a child process: Alembic would stay in this one's memory.

    When that fails, `build` tries again and reports the error.
    """
    if not await asyncio.to_thread(migrate.is_behind, settings.database_url):
        return
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trading_ops.cli.main", "migrate"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await process.wait()


async def _main() -> None:
    settings = load_settings()
    logs.configure("reconciler", policy=settings.log_policy)
    registry = load_targets(settings.targets_file)
    keep_last_good(settings)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await migrate_apart(settings)
    # Imported objects live as long as the process: exclude them from garbage collection.
    gc.collect()
    gc.freeze()
    await serve(settings, registry, stop)


def main() -> int:
    """Run the reconciler; return the exit code."""
    # Its database and lock are private, whatever the umask it was started with.
    os.umask(0o077)
    logs.configure("reconciler")
    try:
        asyncio.run(_main())
    except (TradingOpsError, OSError) as error:
        log.error("reconciler_failed", error=str(error))  # noqa: TRY400 - a user's error, no defect
        return 1
    return 0

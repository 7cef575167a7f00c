"""The reconciler process: runs in the foreground until SIGTERM (`python -m trading_ops.app`)."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from trading_ops import logs
from trading_ops.app.build import build
from trading_ops.app.dependencies import own_entry
from trading_ops.app.targets_reload import TargetsReload
from trading_ops.bounded_site import BoundedSite
from trading_ops.config.last_good import keep_last_good
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets, split_address
from trading_ops.domain.target import Registry
from trading_ops.errors import TradingOpsError
from trading_ops.instrument.heap import limit_heap
from trading_ops.reconciler.loop import Loop
from trading_ops.services import sd_notify
from trading_ops.store import migrate
from trading_ops.tls.contexts import TlsFiles, serving

log = logs.get(__name__)

KEEPALIVE_SECONDS = 75.0
SHUTDOWN_SECONDS = 2.0
SETTLED_SECONDS = 15.0
CONNECTIONS = 512
"""Maximum connections: below the usual file descriptor limit, enough for an alert storm."""


@dataclass(kw_only=True)
class _Process:
    """State that survives a reload: for systemd, it is one process that is ready until it stops."""

    notified: contextlib.AsyncExitStack
    loop: Loop | None = None

    async def ready(self, loop: Loop) -> None:
        """Notify systemd the first time, and feed its watchdog from this loop from now on."""
        first, self.loop = self.loop is None, loop
        if first:
            await self.notified.enter_async_context(sd_notify.ready(self._turns))

    def _turns(self) -> bool:
        return self.loop is not None and self.loop.is_running()


async def serve(
    settings: Settings,
    registry: Registry,
    stop: asyncio.Event,
    *,
    reload: TargetsReload | None = None,
) -> None:
    """Serve until `stop` is set, then shut down gracefully.

    With `reload`, each new set of targets is served by a new composition in the same process.
    """
    async with contextlib.AsyncExitStack() as notified:
        process = _Process(notified=notified)
        while True:
            if reload is not None:
                registry = reload.registry
                reload.changed.clear()
            await _serve_once(settings, registry, stop, reload, process)
            if stop.is_set():
                break
    log.info("reconciler_stopped")


async def _serve_once(
    settings: Settings,
    registry: Registry,
    stop: asyncio.Event,
    reload: TargetsReload | None,
    process: _Process,
) -> None:
    """Serve these targets until `stop` is set or there are others."""
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
        # What lives as long as these targets is excluded from garbage collection, which would
        # otherwise stop the loop for 50 ms every few seconds with 1,000 bots. First collect what
        # earlier targets left behind.
        gc.unfreeze()
        gc.collect()
        tasks = reconciler.tasks
        async with contextlib.AsyncExitStack() as running:
            await running.enter_async_context(tasks.running("loop", reconciler.loop.run))
            await running.enter_async_context(tasks.running("agents", reconciler.agent_monitor.run))
            if reload is not None:
                reload.show(reconciler.metrics)
                check = partial(reload.run, reconciler.metrics)
                await running.enter_async_context(tasks.running("targets", check))
            try:
                await BoundedSite(runner, host, port, connections=CONNECTIONS, tls=tls).start()
                log.info("reconciler_started", address=f"{host}:{port}")
                await process.ready(reconciler.loop)
                gc.freeze()
                # By then each bot has its connection and its metrics too.
                again = asyncio.get_running_loop().call_later(SETTLED_SECONDS, gc.freeze)
                await _first(stop, *([reload.changed] if reload else []))
                again.cancel()
            finally:
                await runner.cleanup()


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of these events is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


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
    reload = TargetsReload(settings, registry)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.ask)
    await migrate_apart(settings)
    await serve(settings, registry, stop, reload=reload)


def main() -> int:
    """Run the reconciler; return the exit code."""
    # Its database and lock are private, regardless of the umask it was started with.
    os.umask(0o077)
    limit_heap()
    logs.configure("reconciler")
    try:
        asyncio.run(_main())
    except (TradingOpsError, OSError) as error:
        log.error("reconciler_failed", error=str(error))  # noqa: TRY400 - a user's error, no defect
        return 1
    return 0

"""The composition root: everything is built here, from settings, and handed to who needs it.

`python -m trading_ops.app` runs the reconciler in the foreground until SIGTERM.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from trading_ops import clock, logs
from trading_ops.actions import registry as actions
from trading_ops.api.auth import Role
from trading_ops.api.automation import Automation
from trading_ops.api.incidents import Incidents
from trading_ops.api.routes import build_application, routes
from trading_ops.api.system import System
from trading_ops.api.webhook import Webhook
from trading_ops.clients.alertmanager import Alertmanager, Alertmanagers
from trading_ops.clients.directory import Directory
from trading_ops.clients.http import Http
from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.decision import GlobalLimits
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import ConfigError, TradingOpsError
from trading_ops.reconciler.acknowledge import Acknowledging
from trading_ops.reconciler.anchor import Anchors, note_key
from trading_ops.reconciler.intake import Intake
from trading_ops.reconciler.jobs import Jobs
from trading_ops.reconciler.lease import Lease, replica_name
from trading_ops.reconciler.ledger import Ledger
from trading_ops.reconciler.look import Looker
from trading_ops.reconciler.loop import Loop
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.observe import Observer
from trading_ops.reconciler.perform import Performer
from trading_ops.reconciler.plans import Plans
from trading_ops.reconciler.recover import Recovery
from trading_ops.reconciler.runbooks import load_runbooks
from trading_ops.reconciler.surroundings import Surroundings
from trading_ops.reconciler.verify import Verifier
from trading_ops.settings import Settings, load_settings
from trading_ops.store import migrate
from trading_ops.store.engine import reading_engine, sole_writer, sqlite_path, writing_engine
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer
from trading_ops.targets import load_targets, split_address

log = logs.get(__name__)

KEEPALIVE_SECONDS = 75.0
SHUTDOWN_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Reconciler:
    """A built reconciler: its HTTP application and its loop."""

    application: web.Application
    loop: Loop


@dataclass(frozen=True, kw_only=True)
class Base:
    """What everything else is built on."""

    settings: Settings
    plans: Plans
    metrics: ReconcilerMetrics
    writer: Writer
    reader: Reader
    lease: Lease
    session: aiohttp.ClientSession
    wakeup: asyncio.Event


@contextlib.asynccontextmanager
async def build(settings: Settings, registry: Registry) -> AsyncIterator[Reconciler]:
    """Build a reconciler; leaving the context closes the database after the last write.

    Raises:
        ConfigError: a runbook or a secret is wrong or missing.
        StoreError: another process has the database open for writing.
    """
    plans = Plans(load_runbooks(settings.runbooks), registry)
    migrate.upgrade(settings.database_url)
    with sole_writer(settings.database_url), _writers(settings) as (writer, leasing):
        reader = Reader(reading_engine(settings.database_url))
        alone = sqlite_path(settings.database_url) is not None
        try:
            async with aiohttp.ClientSession() as session:
                base = Base(
                    settings=settings,
                    plans=plans,
                    metrics=ReconcilerMetrics(),
                    writer=writer,
                    reader=reader,
                    lease=Lease(leasing, replica_name(), alone=alone),
                    session=session,
                    wakeup=asyncio.Event(),
                )
                loop = _loop(base)
                async with _audited(base):
                    yield Reconciler(application=_application(base, loop), loop=loop)
        finally:
            reader.close()


@contextlib.asynccontextmanager
async def _audited(base: Base) -> AsyncIterator[None]:
    """Anchor the story outside the database for as long as it is written."""
    keys = [key.encode() for key in base.settings.accepted_secrets("audit_key")]
    await note_key(base.writer, keys)
    anchors = Anchors(path=base.settings.anchors, key=keys[0], reader=base.reader)
    async with anchors.running():
        yield


@contextlib.contextmanager
def _writers(settings: Settings) -> Iterator[tuple[Writer, Writer]]:
    """Start the writer, and the one that keeps the leases: with SQLite they are the same."""
    key = settings.secret("audit_key").encode()
    writers = [Writer(writing_engine(settings.database_url), key)]
    if sqlite_path(settings.database_url) is None:
        writers.append(Writer(writing_engine(settings.database_url), key))
    for writer in writers:
        writer.start()
    try:
        yield writers[0], writers[-1]
    finally:
        for writer in reversed(writers):
            writer.stop()


def _loop(base: Base) -> Loop:
    registry, wakeup = base.plans.registry, base.wakeup
    prometheus = Prometheus(Http(base.session, f"http://{registry.one(Kind.PROMETHEUS).address}"))
    alertmanagers = Alertmanagers(
        [
            Alertmanager(Http(base.session, f"http://{one.address}"))
            for one in registry.of_kind(Kind.ALERTMANAGER)
        ]
    )
    jobs = Jobs(wakeup.set)
    return Loop(
        reader=base.reader,
        plans=base.plans,
        lease=base.lease,
        intake=Intake(
            writer=base.writer,
            reader=base.reader,
            plans=base.plans,
            metrics=base.metrics,
            wake=wakeup.set,
        ),
        observer=Observer(
            prometheus=prometheus,
            alertmanagers=alertmanagers,
            writer=base.writer,
            plans=base.plans,
            metrics=base.metrics,
        ),
        looker=_looker(base, prometheus, jobs),
        acknowledging=Acknowledging(
            writer=base.writer,
            reader=base.reader,
            alertmanagers=alertmanagers,
            plans=base.plans,
            metrics=base.metrics,
        ),
        jobs=jobs,
        metrics=base.metrics,
        limits=GlobalLimits(),
        poll_seconds=base.settings.poll_interval_seconds,
        wakeup=wakeup,
    )


def _looker(base: Base, prometheus: Prometheus, jobs: Jobs) -> Looker:
    tokens = {name: base.settings.secret(f"{name}_token") for name in ("agent", "supervisor")}
    directory = Directory(base.session, base.plans.registry, tokens)
    performer = Performer(
        actions=actions.build(directory),
        writer=base.writer,
        metrics=base.metrics,
        may_start=base.lease.may_start,
    )
    return Looker(
        writer=base.writer,
        plans=base.plans,
        lease=base.lease,
        ledger=Ledger(writer=base.writer, lease=base.lease, plans=base.plans, metrics=base.metrics),
        jobs=jobs,
        performer=performer,
        verifier=Verifier(prometheus=prometheus, writer=base.writer, metrics=base.metrics),
        recovery=Recovery(writer=base.writer, lease=base.lease, performer=performer),
        limits=GlobalLimits(),
        surroundings=Surroundings(
            plans=base.plans, limits=GlobalLimits(), observe_only=base.settings.observe_only
        ),
    )


def _application(base: Base, loop: Loop) -> web.Application:
    table = routes(
        Webhook(loop.intake),
        Incidents(base.reader),
        Automation(base.writer, base.reader, base.plans.registry, base.metrics),
        System(base.reader, base.metrics, lambda: clock.monotonic() - loop.passed_at),
    )
    tokens = {
        role: base.settings.accepted_secrets(f"{role}_token")
        for role in (Role.WEBHOOK, Role.METRICS, Role.OPERATOR)
    }
    return build_application(table, tokens)


async def serve(settings: Settings, registry: Registry, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; then end what is under way, in order."""
    host, port = split_address(_own_entry(settings, registry).address)
    async with build(settings, registry) as reconciler:
        runner = web.AppRunner(
            reconciler.application,
            keepalive_timeout=KEEPALIVE_SECONDS,
            shutdown_timeout=SHUTDOWN_SECONDS,
            auto_decompress=False,
        )
        await runner.setup()
        looping = asyncio.create_task(reconciler.loop.run())
        try:
            await web.TCPSite(runner, host, port).start()
            log.info("reconciler_started", address=f"{host}:{port}")
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({looping, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
        finally:
            await runner.cleanup()
            looping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looping
    log.info("reconciler_stopped")


def _own_entry(settings: Settings, registry: Registry) -> Target:
    if not settings.reconciler:
        return registry.one(Kind.RECONCILER)
    found = registry.find(settings.reconciler)
    if found is None or found.kind is not Kind.RECONCILER:
        names = ", ".join(one.name for one in registry.of_kind(Kind.RECONCILER))
        problem = f"{settings.reconciler!r} is no reconciler of targets.yml"
        raise ConfigError("settings", "reconciler", problem, f"one of {names}")
    return found


async def _main() -> None:
    settings = load_settings()
    registry = load_targets(settings.targets_file)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    # Everything imported lives as long as the process: keep the collector from walking it.
    gc.collect()
    gc.freeze()
    await serve(settings, registry, stop)


def main() -> int:
    """Run the reconciler; 1 when it could not."""
    # Its database and lock are nobody else's business, whoever starts it.
    os.umask(0o077)
    logs.configure("reconciler")
    try:
        asyncio.run(_main())
    except (TradingOpsError, OSError) as error:
        log.error("reconciler_failed", error=str(error))  # noqa: TRY400 - a user's error, no defect
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A node backs up the records of its host's bots, where no reconciler does."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.free_ports import free_port
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.backup.records import BackupRecords, BackupRun
from trading_ops.clients.http import Http
from trading_ops.clients.node import HostBackups, host_backups
from trading_ops.config.settings import Settings
from trading_ops.domain.backup import Operation
from trading_ops.errors import Refused

TOKEN = "the-node-token"
DAYS = timedelta(days=1)
COMMANDS = {verb: ["/bin/true", verb] for verb in ("status", "restart", "stop")}


def targets(port: int, restore_tests: dict[str, list[str]]) -> str:
    service = {"manager": "command", "unit": "a", "commands": COMMANDS}
    bots = [
        {
            "name": name,
            "kind": "bot",
            "venue": "paper",
            "address": f"127.0.0.1:{9 + number}",
            "service": {**service, "node": node},
            **({"restore_test": restore_tests[name]} if name in restore_tests else {}),
        }
        for number, (name, node) in enumerate((("alpha", "host-b"), ("beta", "host-c")))
    ]
    others = [
        {"name": kind, "kind": kind, "address": f"127.0.0.1:{number}"}
        for number, kind in enumerate(("reconciler", "prometheus", "alertmanager", "venue"), 1)
    ]
    nodes = [
        {"name": "host-b", "kind": "node", "address": f"127.0.0.1:{port}"},
        {"name": "host-c", "kind": "node", "address": "127.0.0.1:8"},
    ]
    others[-1]["name"] = "paper"
    return json.dumps({"version": 1, "targets": [*others, *nodes, *bots]})


class Host:
    """A host with a node and a bot."""

    def __init__(self, root: Path, session: aiohttp.ClientSession) -> None:
        self.root, self.session, self.port = root, session, free_port()
        self.records = BackupRecords(Settings(root=root, var=root / "var").backup_records)
        self.bot = root / "srv" / "alpha"

    def prepare(self) -> None:
        self.bot.mkdir(parents=True)
        (self.bot / "orders.json").write_text('["order 1"]')
        secrets = self.root / "var" / "secrets"
        secrets.mkdir(parents=True, mode=0o700)
        (secrets / "node_token").write_text(TOKEN)
        (secrets / "node_token").chmod(0o600)
        restored = "{var}/../bots/alpha/orders.json"
        starts = ["python", "-c", "import sys; assert open(sys.argv[1]).read()", restored]
        ends = ["/bin/false", "{var}"]
        (self.root / "targets.yml").write_text(targets(self.port, {"alpha": starts, "beta": ends}))
        (self.root / "settings.yml").write_text(
            f"backup_folders: {{alpha: {self.bot}}}\nbackup_repository: backups\n"
        )
        # A failure long ago: due at once, whenever this process began.
        failed = BackupRun(at=clock.now() - DAYS, succeeded=False, detail="disk full")
        self.records.ran(Operation.CREATE, failed)

    @contextlib.asynccontextmanager
    async def node(self, *options: str) -> AsyncIterator[None]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trading_ops.cli.main", "node", "--name", "host-b", *options),
            env={"PATH": os.defpath, "TRADING_OPS_ROOT": str(self.root)},
        )
        try:
            await eventually(self.answers, within=60, what="the node to answer")
            yield
        finally:
            process.terminate()
            await process.wait()

    async def answers(self) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with self.session.get(f"http://127.0.0.1:{self.port}/-/healthy") as answer:
                return answer.status == 200
        return False

    async def metrics(self) -> dict[str, float]:
        """What Prometheus scrapes of the backups; with the operation, where there is one."""
        async with self.session.get(f"http://127.0.0.1:{self.port}/-/healthy") as answer:
            text = await answer.text()
        return {
            " ".join((sample.name.removeprefix("trading_ops_backup_"), *sample.labels.values())): (
                sample.value
            )
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.startswith("trading_ops_backup_")
        }

    async def reported(self, token: str = TOKEN) -> HostBackups:
        http = Http(self.session, f"http://127.0.0.1:{self.port}", token=token)
        return await host_backups(http)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with aiohttp.ClientSession() as session:
        made = Host(tmp_path, session)
        made.prepare()
        yield made


async def test_a_node_backs_up_its_bots_and_a_failure_is_shown(host: Host) -> None:
    """Taken, restored, and the bot of this host started on the copy: not those of other hosts."""
    async with host.node("--backups"):

        async def proven() -> bool:
            return (await host.metrics())["last_restore_test_timestamp_seconds"] > 0

        await eventually(proven, within=120, what="a restore test")

        async def all_passed() -> bool:
            found = await host.metrics()
            failed = [found[f"failed {operation}"] for operation in Operation]
            return Operation.PRUNE in host.records.runs() and not any(failed)

        await eventually(all_passed, within=120, what="every command to succeed")
        found = await host.metrics()
        assert found["interval_seconds"] == 300
        (record,) = host.records.all().values()
        assert found["last_success_timestamp_seconds"] == record.created_at.timestamp()
        assert found["size_bytes"] == record.bytes
        assert 0 < found["repository_free_bytes"] < found["repository_capacity_bytes"]
        reported = await host.reported()
        assert (reported.bots, reported.interval_seconds) == (["alpha"], 300)
        assert (reported.newest, reported.restore_tested) == (
            record.created_at,
            record.restore_tested_at,
        )
        with pytest.raises(Refused):
            await host.reported("a-guess")
        host.bot.rename(host.bot.with_name("lost"))
        host.records.ran(Operation.CREATE, BackupRun(at=clock.now() - DAYS, succeeded=True))

        async def failed() -> bool:
            return (await host.metrics())["failed create"] == 1

        await eventually(failed, within=60, what="the failure to be shown")
        assert "alpha" in host.records.runs()[Operation.CREATE].detail


@pytest.mark.parametrize("options", [(), ("--backups",)])
async def test_where_there_is_nothing_to_back_up_nothing_is_expected(
    host: Host, options: tuple[str, ...]
) -> None:
    """Beside a reconciler, whose settings.yml it reads; or without `backup_folders`."""
    if options:
        (host.root / "settings.yml").unlink()
    async with host.node(*options):
        assert await host.metrics() == {}
        assert await host.reported() == HostBackups()

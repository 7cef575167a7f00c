"""A real Prometheus on a free port, with the committed configuration and rules, unchanged."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.free_ports import free_port
from tests.rules.configuration import lay_out_prometheus
from tests.rules.running_alertmanager import wait_until_ready
from tests.waiting import eventually


@asynccontextmanager
async def run_prometheus(
    folder: Path,
    *,
    alertmanagers: Sequence[str],
    reconcilers: Sequence[str] = (),
    bots: Mapping[str, str] | None = None,
    exporters: Sequence[str] = (),
    delays: Mapping[str, str] | None = None,
    more_rules: str = "",
) -> AsyncIterator[str]:
    """Start it, wait until it has found the Alertmanagers, and yield its address.

    Args:
        folder: where it runs; made.
        alertmanagers: their addresses.
        reconcilers: theirs.
        bots: addresses of bots on the venue `paper`, by name.
        exporters: addresses of exporters.
        delays: the delays before paging as committed, and as they are here.
        more_rules: a file of rules beside the committed ones; needs `delays`.
    """
    config = lay_out_prometheus(folder, delays)
    if more_rules:
        (folder / "rules" / "more.yml").write_text(more_rules, encoding="utf-8")
    groups = {
        "alertmanagers": [{"targets": list(alertmanagers)}],
        "reconcilers": [{"targets": list(reconcilers)}],
        "bots": [
            {"targets": [address], "labels": {"bot": name, "venue": "paper"}}
            for name, address in (bots or {}).items()
        ],
        "exporters": [{"targets": list(exporters)}],
    }
    for name, found in groups.items():
        (folder / "targets" / f"{name}.json").write_text(json.dumps(found), encoding="ascii")
    async with start_prometheus(config, alertmanagers=len(alertmanagers)) as address:
        yield address


@asynccontextmanager
async def start_prometheus(
    config: Path, *, alertmanagers: int, flags: Sequence[str] = ()
) -> AsyncIterator[str]:
    """Start it with any configuration; its data and its log are beside that.

    Args:
        config: the file.
        alertmanagers: how many it must have found before it is used.
        flags: more of its command line.
    """
    folder = config.parent
    address = f"127.0.0.1:{free_port()}"
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            *flags,
            stdout=output,
            stderr=output,
        )
    try:
        async with aiohttp.ClientSession() as session:
            await wait_until_ready(session, address, log)

            async def discovered() -> bool:
                url = f"http://{address}/api/v1/alertmanagers"
                async with session.get(url) as answer:
                    active = (await answer.json())["data"]["activeAlertmanagers"]
                return len(active) == alertmanagers

            # What fires before they are found is dropped, and sent again only a minute later.
            await eventually(discovered, within=30, what="discovery of the Alertmanagers")
            yield address
    finally:
        process.terminate()
        await process.wait()

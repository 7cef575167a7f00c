"""The examples of receivers, as they are tried: each service stands on a port of this process."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.rules.configuration import ALERTMANAGER

EXAMPLES = ALERTMANAGER / "examples"
TOKEN = "a-secret-of-the-service"


@dataclass
class Services:
    """What Slack, Telegram, Discord, PagerDuty, Opsgenie and the webhooks received, in order."""

    address: str = ""
    requests: "asyncio.Queue[tuple[str, str, dict[str, Any]]]" = field(
        default_factory=asyncio.Queue
    )
    """Path, header `Authorization`, body."""

    async def take(self, request: web.Request) -> web.Response:
        """Take one call and answer as all of them can read it."""
        body = json.loads(await request.read())
        header = request.headers.get("Authorization", "")
        self.requests.put_nowait((request.path, header, body))
        message = {"message_id": 1, "date": 1, "chat": {"id": 1, "type": "private"}}
        return web.json_response({"ok": True, "result": message})


@asynccontextmanager
async def run_services() -> AsyncIterator[Services]:
    """Listen on a free port until the end of the block."""
    services = Services()
    application = web.Application()
    application.router.add_post("/{path:.*}", services.take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    services.address = "{}:{}".format(*runner.addresses[0])
    try:
        yield services
    finally:
        await runner.cleanup()


def placed_here(folder: Path, text: str, address: str) -> Path:
    """Write an example where Alertmanager can run it, with every service at one address.

    Secrets are what the files say; a service that has no address in the file gets it as `global`.
    """
    text = re.sub(r"https://[\w.-]+\.example\.invalid", f"http://{address}/at", text)
    text = text.replace("../templates", "templates").replace("/etc/alertmanager", str(folder))
    elsewhere = (
        f"  pagerduty_url: http://{address}/pagerduty\n"
        f"  opsgenie_api_url: http://{address}/opsgenie/\n"
        f"  telegram_api_url: http://{address}/telegram\n"
    )
    head, found, rest = text.partition("\nglobal:\n")
    text = f"{head}{found}{elsewhere}{rest}" if found else f"global:\n{elsewhere}{text}"
    folder.mkdir(parents=True)
    (folder / "templates").symlink_to(ALERTMANAGER / "templates")
    (folder / "secrets").mkdir()
    for name in re.findall(r"_file: \S*secrets/(\w+)", text):
        value = f"http://{address}/slack/{TOKEN}" if name == "slack_url" else TOKEN
        (folder / "secrets" / name).write_text(f"{value}", encoding="ascii")
    config = folder / "alertmanager.yml"
    config.write_text(text, encoding="utf-8")
    return config

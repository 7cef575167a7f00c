"""An example of examples/ as the process that a reader starts."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families as families_of

from tests.free_ports import free_port
from tests.rules.configuration import METRICS_TOKEN, ROOT
from tests.waiting import eventually

EXAMPLES = ROOT / "examples"
AGENT_TOKEN = "an-agent-token"
START_SECONDS = 60.0
"""ccxt alone takes seconds to import on a busy machine."""


@dataclass
class Example:
    """One running example, and what it says."""

    file: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "metrics_token").write_text(f"{METRICS_TOKEN}\n")
        (self.folder / "agent_token").write_text(f"{AGENT_TOKEN}\n")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def arguments(self) -> list[str]:
        """As the document calls it."""
        if self.file == "bare_metrics.py":
            return [str(self.port), str(self.folder / "metrics_token")]
        return ["mybot", str(self.port), str(self.folder), str(self.folder / "state")]

    async def start(self, *further: str, python: tuple[str, ...] = ()) -> None:
        """Start it, and wait for its first answer."""
        log = (self.folder / "log").open("ab")
        with log:
            self.process = await asyncio.create_subprocess_exec(
                *(python or ("env", f"PYTHONPATH={ROOT}", sys.executable, "-W", "error")),
                str(EXAMPLES / self.file),
                *self.arguments,
                *further,
                stdout=log,
                stderr=log,
            )

        async def answers() -> bool:
            assert self.process is not None
            assert self.process.returncode is None, self.log
            try:
                return (await self.get("/metrics/vital"))[0] == 200
            except aiohttp.ClientError:
                return False

        await eventually(answers, within=START_SECONDS, what=self.file)

    async def kill(self) -> None:
        """As a power cut would."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def get(
        self, path: str, *, token: str = METRICS_TOKEN, accept: str = "*/*"
    ) -> tuple[int, str]:
        """Return the status and the body."""
        headers = {"Authorization": f"Bearer {token}", "Accept": accept}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"http://{self.address}{path}") as answer,
        ):
            return answer.status, await answer.text()

    async def value(self, sample: str, **labels: str) -> float | None:
        """Return the value of one sample, or None where there is none."""
        _, body = await self.get("/metrics")
        samples = [point for family in families_of(body) for point in family.samples]
        found = [point.value for point in samples if (point.name, point.labels) == (sample, labels)]
        return found[0] if found else None

    async def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the stored events of a kind that the reconciler would read."""
        _, body = await self.get("/events", token=AGENT_TOKEN)
        return [event for event in json.loads(body)["events"] if event["kind"] == kind]

    async def until(self, sample: str, *, within: float = 30.0, **labels: str) -> None:
        """Wait until a sample is there and not zero."""

        async def counts() -> bool:
            return bool(await self.value(sample, **labels))

        await eventually(counts, within=within, what=f"{sample} {labels}")

    async def command(self, name: str, **params: str) -> dict[str, Any]:
        """Order something as the reconciler does; return the answer."""
        body = {"attempt_id": f"test-{name}", "fence": 1, "params": params}
        headers = {"Authorization": f"Bearer {AGENT_TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"http://{self.address}/commands/{name}", json=body) as answer,
        ):
            reply: dict[str, Any] = await answer.json()
            return reply


@asynccontextmanager
async def running(file: str, folder: Path, *further: str) -> AsyncIterator[Example]:
    """Run one example while the block runs."""
    example = Example(file, folder)
    try:
        await example.start(*further)
        yield example
    finally:
        await example.kill()

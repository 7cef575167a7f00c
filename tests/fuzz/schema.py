"""schemathesis against a running reconciler: what the OpenAPI document says is what happens."""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.installation import install, settings_of
from tests.free_ports import free_port
from tests.fuzz.over_http import answers
from trading_ops.app import process as app
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Kind

DOCUMENT = "/api/v1/openapi.json"

CONFIG = """\
# A schema cannot say that one moment must lie before another, or what an opaque cursor is.
[checks]
positive_data_acceptance.enabled = false

# By design it stores whatever comes, and puts into quarantine what is no notification.
[[operations]]
include-name = "POST /api/v1/webhook/alertmanager"
checks.negative_data_rejection.enabled = false

# A client that does not ask for a WebSocket gets that error first.
[[operations]]
include-name = "GET /api/v1/events/stream"
checks.negative_data_rejection.enabled = false

[[operations]]
include-name = "GET /api/v1/bot-events/stream"
checks.negative_data_rejection.enabled = false
"""


def run(examples: int, seed: int) -> list[str]:
    """Ask every operation with so many examples; return what schemathesis found."""
    return asyncio.run(_run(examples, seed))


async def _run(examples: int, seed: int) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="fuzz-api-") as name:
        folder = Path(name)
        install(folder, sources_port=free_port())
        settings = settings_of(folder)
        registry = load_targets(settings.targets_file)
        url = f"http://{registry.one(Kind.RECONCILER).address}"
        stop = asyncio.Event()
        serving = asyncio.create_task(app.serve(settings, registry, stop))
        try:
            await answers(url, serving)
            done = await asyncio.to_thread(_ask, url, examples, seed, folder)
        finally:
            stop.set()
            await serving
    if done.returncode == 0:
        return []
    return [done.stdout[-6000:] + done.stderr[-1000:]]


def _ask(url: str, examples: int, seed: int, folder: Path) -> "subprocess.CompletedProcess[str]":
    (folder / "schemathesis.toml").write_text(CONFIG, "utf-8")
    return subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", url + DOCUMENT),
            *("--header", "Authorization: Bearer operator"),
            *("--max-examples", str(examples), "--seed", str(seed)),
            "--no-color",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

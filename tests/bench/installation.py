"""A new installation in a folder of its own, for benches."""

import json
from pathlib import Path
from typing import Any

from tests.free_ports import free_port
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings

TOKENS = ("agent", "supervisor", "webhook", "metrics", "operator")
PAGE_ONLY = "---\nversion: 1\nalert: PageOnly\npage_after: 0s\n---\n# PageOnly\n"
DOWN = """\
---
version: 1
alert: BotDown
target: bot
steps:
  - {action: reconnect_broker, timeout: 5s, verify_within: 5s}
limits: {cooldown: 0s, attempts: 1000000, window: 1h}
verify: {query: 'up{bot="$bot"} == 1', for: 0s}
page_after: 5m
---
# BotDown
"""


def install(
    folder: Path, *, sources_port: int, agents: dict[str, str] | None = None, port: int = 0
) -> None:
    """Write everything that a reconciler reads.

    Args:
        folder: exists, and is empty.
        sources_port: where Prometheus (127.0.0.2) and Alertmanager (127.0.0.3) answer.
        agents: addresses of bots by name.
        port: the reconciler's own; 0: a free one.
    """
    (folder / "runbooks").mkdir()
    (folder / "runbooks" / "PageOnly.md").write_text(PAGE_ONLY, "utf-8")
    (folder / "runbooks" / "BotDown.md").write_text(DOWN, "utf-8")
    secrets = folder / "var" / "secrets"
    secrets.mkdir(parents=True)
    for name in TOKENS:
        (secrets / f"{name}_token").write_text(name, "ascii")
    (secrets / "audit_key").write_text("audit", "ascii")
    targets: list[dict[str, Any]] = [
        {"name": "paper", "kind": "venue", "address": f"127.0.0.1:{free_port()}"},
        {"name": "reconciler", "kind": "reconciler", "address": f"127.0.0.1:{port or free_port()}"},
        {"name": "supervisor", "kind": "supervisor", "address": f"127.0.0.1:{free_port()}"},
        {"name": "oncall-mailbox", "kind": "mail", "address": f"127.0.0.1:{free_port()}"},
        {"name": "prometheus", "kind": "prometheus", "address": f"127.0.0.2:{sources_port}"},
        {"name": "alertmanager", "kind": "alertmanager", "address": f"127.0.0.3:{sources_port}"},
    ]
    for bot, address in (agents or {}).items():
        targets.append({"name": bot, "kind": "bot", "venue": "paper", "address": address})
    (folder / "targets.yml").write_text(json.dumps({"version": 1, "targets": targets}), "utf-8")


def settings_of(folder: Path, **environ: str) -> Settings:
    """Return the installation's settings; keywords are settings in capitals."""
    given = {f"TRADING_OPS_{name}": value for name, value in environ.items()}
    return load_settings(folder, given)

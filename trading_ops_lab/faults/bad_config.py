"""A configuration that Prometheus cannot load, as after a careless edit."""

import contextlib
import os
import signal

from trading_ops import durable
from trading_ops.domain.target import Kind, Target
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.base import Fault
from trading_ops_lab.faults.frozen_processes import pid_of

BAD = "global: {scrape_interval: often}\n"


class BadPrometheusConfig(Fault):
    """Replaces the stack's link to the committed file with an invalid file."""

    describe = "Prometheus loads an invalid configuration"

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Write it, and make Prometheus load it."""
        del bot
        path = scene.settings.var / "prometheus" / "prometheus.yml"
        scratch = path.with_name(".drill.yml")
        scratch.write_text(BAD, encoding="ascii")
        scratch.replace(path)
        await _load(scene)
        return str(path)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Restore the link, and make Prometheus load it."""
        del bot, key
        path = scene.settings.var / "prometheus" / "prometheus.yml"
        durable.link(path, scene.settings.prometheus_config / "prometheus.yml")
        await _load(scene)


async def _load(scene: Scene) -> None:
    pid = await pid_of(scene, scene.registry.one(Kind.PROMETHEUS))
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGHUP)

"""What a game day's record says of the world that it was run in."""

import asyncio
import os
import platform
import subprocess
from datetime import datetime
from pathlib import Path

import msgspec
import psutil

from trading_ops import __version__, clock
from trading_ops.clients.http import Http
from trading_ops.domain.target import Kind
from trading_ops.errors import ClientError
from trading_ops.reports.gameday import GameDayRecord, Machine, RecordedDrill
from trading_ops.stack.gameday import GameDay
from trading_ops.stack.scene import Scene

GIT_SECONDS = 10.0


class _Prometheus(msgspec.Struct):
    class _Data(msgspec.Struct):
        version: str

    data: _Data


class _Alertmanager(msgspec.Struct):
    class _Version(msgspec.Struct):
        version: str

    versionInfo: _Version  # noqa: N815 - Alertmanager's own name


async def record_of(scene: Scene, day: GameDay, *, began: datetime) -> GameDayRecord:
    """Return the day with what it was run on; an unknown version is left empty."""
    commit = await asyncio.to_thread(_git, scene.settings.root, "rev-parse", "HEAD")
    changed = await asyncio.to_thread(
        _git, scene.settings.root, "status", "--porcelain", "--untracked-files=no"
    )
    return GameDayRecord(
        began_at=began,
        ended_at=clock.now(),
        commit=commit,
        changed=bool(changed),
        versions={
            "trading-ops": __version__,
            "Python": platform.python_version(),
            "Prometheus": await _prometheus(scene),
            "Alertmanager": await _alertmanager(scene),
        },
        machine=Machine(
            system=f"{platform.system()} {platform.release()}",
            cores=os.cpu_count() or 0,
            memory_bytes=psutil.virtual_memory().total,
        ),
        drills=msgspec.convert(msgspec.to_builtins(day.results), list[RecordedDrill]),
    )


async def _prometheus(scene: Scene) -> str:
    path = "/api/v1/status/buildinfo"
    try:
        body = await _of(scene, Kind.PROMETHEUS).get(path)
        return msgspec.json.decode(body, type=_Prometheus).data.version
    except (ClientError, msgspec.DecodeError):
        return ""


async def _alertmanager(scene: Scene) -> str:
    try:
        body = await _of(scene, Kind.ALERTMANAGER).get("/api/v2/status")
        return msgspec.json.decode(body, type=_Alertmanager).versionInfo.version
    except (ClientError, msgspec.DecodeError):
        return ""


def _of(scene: Scene, kind: Kind) -> Http:
    return Http(scene.session, f"http://{scene.registry.one(kind).address}")


def _git(root: Path, *arguments: str) -> str:
    """Return what git says, and nothing where there is none or no checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()

"""The environment of a game day, for its record."""

import asyncio
import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import psutil

from trading_ops import __version__, clock
from trading_ops.clients.monitoring import Monitoring
from trading_ops.errors import ClientError
from trading_ops_lab.drills.gameday import GameDay
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.recorded_drills import (
    GameDayRecord,
    Machine,
    RecordedDisaster,
    RecordedDrill,
)

GIT_SECONDS = 10.0

SHIPPED = ("--", "trading_ops", "prometheus", "alertmanager", "runbooks")
"""Paths that a game day depends on; other uncommitted changes do not count."""


class _Prometheus(msgspec.Struct):
    class _Data(msgspec.Struct):
        version: str

    data: _Data


class _Alertmanager(msgspec.Struct):
    class _Version(msgspec.Struct):
        version: str

    versionInfo: _Version  # noqa: N815 - Alertmanager's own name


@dataclass(frozen=True, kw_only=True)
class Begun:
    """When a game day started, and with which code: the checkout may change during it."""

    at: datetime
    commit: str
    changed: bool


async def begin_day(scene: Scene) -> Begun:
    """Return what must be recorded before the first drill."""
    root = scene.settings.root
    return Begun(
        at=clock.now(),
        commit=await asyncio.to_thread(_git, root, "rev-parse", "HEAD"),
        changed=bool(await asyncio.to_thread(_git, root, "status", "--porcelain", *SHIPPED)),
    )


async def record_of(
    scene: Scene, day: GameDay, *, begun: Begun, disaster: RecordedDisaster | None
) -> GameDayRecord:
    """Return the record with its environment; an unknown version is left empty."""
    results = msgspec.convert(msgspec.to_builtins(day.results), list[RecordedDrill])
    return GameDayRecord(
        began_at=begun.at,
        ended_at=clock.now(),
        commit=begun.commit,
        changed=begun.changed,
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
        disaster=disaster,
        drills=[_anywhere(drill, scene.settings.root) for drill in results],
    )


def _anywhere(drill: RecordedDrill, root: Path) -> RecordedDrill:
    """Return it with paths relative to the project's folder; absolute paths are private."""
    here = f"{root}{os.sep}"
    timeline = [
        msgspec.structs.replace(mark, note=mark.note.replace(here, "")) for mark in drill.timeline
    ]
    return msgspec.structs.replace(
        drill,
        problem=drill.problem.replace(here, ""),
        evidence=drill.evidence.replace(here, ""),
        reasons=[reason.replace(here, "") for reason in drill.reasons],
        timeline=timeline,
    )


async def _prometheus(scene: Scene) -> str:
    path = "/api/v1/status/buildinfo"
    try:
        body = await monitoring_of(scene).prometheus().get(path)
        return msgspec.json.decode(body, type=_Prometheus).data.version
    except (ClientError, msgspec.DecodeError):
        return ""


async def _alertmanager(scene: Scene) -> str:
    try:
        body = await monitoring_of(scene).alertmanagers()[0].get("/api/v2/status")
        return msgspec.json.decode(body, type=_Alertmanager).versionInfo.version
    except (ClientError, msgspec.DecodeError):
        return ""


def monitoring_of(scene: Scene) -> Monitoring:
    """Return the requests to Prometheus and Alertmanager."""
    return Monitoring(scene.session, scene.settings, scene.registry)


def _git(root: Path, *arguments: str) -> str:
    """Return the output of git; empty without git or a checkout."""
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

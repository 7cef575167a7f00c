"""Docker over its API: a Unix socket, or a filtering proxy in front of it.

The incarnation of a container is its ID and start time. Only listed containers are queried; the API
itself permits more, so a filtering proxy is recommended.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import aiodocker
import aiohttp

from trading_ops.errors import SetupError
from trading_ops.services.last_lines import LINES, WITHIN_SECONDS
from trading_ops.services.manager import ManagerUnavailable, UnitStatus, reported_incarnation

STOP_SECONDS = 10
"""Grace after the container's stop signal in a restart, before SIGKILL."""

INSPECT_SECONDS = 5.0
NOT_FOUND = 404
NO_ANSWER = 900
"""Status code of aiodocker if it could not connect."""

UNHEALTHY = "unhealthy"
NEVER = "0001-01-01"
"""Start time of a container that was never started."""


class Docker:
    """A Docker engine."""

    def __init__(self, url: str | None = None) -> None:
        """Set the address, such as `unix:///var/run/docker.sock`; None: Docker's default."""
        self._url = url
        self._client: aiodocker.Docker | None = None

    async def status(self, name: str) -> UnitStatus:
        """Return the container's state.

        Raises:
            SetupError: there is no such container.
            ManagerUnavailable: the engine does not answer.
        """
        async with _explained(name, INSPECT_SECONDS):
            # Its name, not its id, is what a filtering proxy can allow.
            found: Mapping[str, Any] = await self._docker().containers.container(name).show()
        state = found["State"]
        started = str(state["StartedAt"])
        pid = int(state["Pid"]) or None
        unhealthy = bool(state["Running"]) and _health(state) == UNHEALTHY
        return UnitStatus(
            state=UNHEALTHY if unhealthy else str(state["Status"]),
            running=bool(state["Running"]),
            incarnation=None if started.startswith(NEVER) else f"{found['Id'][:12]}@{started}",
            pid=pid,
            reported=reported_incarnation(pid, found["Id"]),
            detail=_end_of(state),
            unhealthy=unhealthy,
        )

    async def last_lines(self, name: str, incarnation: str) -> list[str]:
        """Return the last lines that one run of the container logged.

        Raises:
            SetupError: the container's log driver keeps no lines, or a proxy refuses the request.
            ManagerUnavailable: the engine does not answer.
        """
        started = datetime.fromisoformat(incarnation.partition("@")[2])
        async with _explained(name, WITHIN_SECONDS):
            found = await (
                self._docker()
                .containers.container(name)
                .log(stdout=True, stderr=True, tail=LINES, since=int(started.timestamp()))
            )
        return "".join(found).splitlines()

    async def start(self, name: str, within: timedelta) -> None:
        """Start the container.

        Raises:
            SetupError: it could not be started.
            ManagerUnavailable: the engine does not answer.
        """
        async with _explained(name, within.total_seconds()):
            await self._docker().containers.container(name).start()

    async def stop(self, name: str, grace: timedelta) -> None:
        """Stop the container; Docker kills it after the grace period, and does not restart it.

        Raises:
            SetupError: it could not be stopped.
            ManagerUnavailable: the engine does not answer.
        """
        seconds = max(int(grace.total_seconds()), 1)
        async with _explained(name, seconds + INSPECT_SECONDS):
            await (
                self._docker()
                .containers.container(name)
                .stop(t=seconds, timeout=seconds + INSPECT_SECONDS)
            )

    async def restart(self, name: str, within: timedelta) -> None:
        """Restart the container.

        Raises:
            SetupError: it could not be restarted.
            ManagerUnavailable: the engine does not answer.
        """
        async with _explained(name, within.total_seconds()):
            await (
                self._docker()
                .containers.container(name)
                .restart(t=STOP_SECONDS, timeout=within.total_seconds())
            )

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _docker(self) -> aiodocker.Docker:
        if self._client is None:
            try:
                self._client = aiodocker.Docker(self._url)
            except ValueError as error:
                raise ManagerUnavailable(
                    f"no Docker engine found: {error}. Fix: name its socket with docker_host"
                ) from error
        return self._client


@contextlib.asynccontextmanager
async def _explained(name: str, seconds: float) -> AsyncIterator[None]:
    """Convert the library's errors to ours."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except aiodocker.DockerError as error:
        if error.status == NOT_FOUND:
            raise SetupError(
                f"Docker has no container {name}. Fix: create it, or correct targets.yml"
            ) from error
        if error.status == NO_ANSWER:
            raise ManagerUnavailable(error.message) from error
        raise SetupError(f"Docker refused a request for {name}: {error.message}") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        reason = str(error) or "no answer in time"
        raise ManagerUnavailable(f"cannot query Docker about {name}: {reason}") from error


def _health(state: Mapping[str, Any]) -> str:
    return str((state.get("Health") or {}).get("Status", ""))


def _end_of(state: Mapping[str, Any]) -> str:
    if state["Running"] or state["Status"] == "created":
        return ""
    if state["OOMKilled"]:
        return f"killed for lack of memory, exit code {state['ExitCode']}"
    return f"exit code {state['ExitCode']}"

"""Evidence on a silent bot from the service manager, the kernel and Prometheus."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from trading_ops import clock, logs
from trading_ops.clients.directory import Directory
from trading_ops.clients.prometheus import Prometheus
from trading_ops.clients.supervisor import Process
from trading_ops.config.targets import split_address
from trading_ops.domain.silence import Life, Listener, Silence
from trading_ops.domain.target import Target
from trading_ops.errors import ConfigError, TradingOpsError
from trading_ops.listener import owners
from trading_ops.reconciler.agent_probe import Pulse

log = logs.get(__name__)

HOUR_SECONDS = 3600.0

HEARTBEAT_AGE = (
    'time() - max(max_over_time(trading_bot_heartbeat_timestamp_seconds{{bot="{bot}"}}[15s]))'
)
"""Uses the values of the last samples, so that a failed scrape does not hide them."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Collects evidence; each source has a timeout of a second and is optional."""

    directory: Directory
    prometheus: Prometheus | None
    within: float

    async def collect(
        self, pulse: Pulse, quiet: float, *, halt_in_force: bool
    ) -> tuple[Silence, str | None]:
        """Return the evidence, and the running incarnation if known."""
        process = await self._process(pulse.target)
        life, holder = Life.UNKNOWN, Listener.UNKNOWN
        incarnation = None if process is None else process.incarnation
        if process is not None:
            life = _life(pulse, process)
            holder = _listener(pulse.target, process.pid)
        silence = Silence(
            quiet=quiet,
            life=life,
            listener=holder,
            cut=pulse.cut,
            heartbeat_age=None if life is Life.GONE else await self._heartbeat_age(pulse.target),
            unheard=pulse.unheard_for(
                incarnation if life is Life.OTHER else None, clock.monotonic()
            ),
            halt_asked=pulse.asked is not None,
            halt_in_force=halt_in_force,
            stops=pulse.stops_since(clock.monotonic() - HOUR_SECONDS),
        )
        return silence, incarnation

    async def _process(self, target: Target) -> Process | None:
        try:
            async with asyncio.timeout(self.within):
                return await self.directory.unit(target).process()
        except (TradingOpsError, TimeoutError) as error:
            log.warning("process_unknown", target=target.name, error=str(error) or "too slow")
            return None

    async def _heartbeat_age(self, target: Target) -> float | None:
        if self.prometheus is None:
            return None
        try:
            async with asyncio.timeout(self.within):
                found = await self.prometheus.query(HEARTBEAT_AGE.format(bot=target.name))
        except (TradingOpsError, TimeoutError) as error:
            log.warning("heartbeat_unknown", target=target.name, error=str(error) or "too slow")
            return None
        return found[0].value if found else None


def _life(pulse: Pulse, process: Process) -> Life:
    if process.pid is None:
        return Life.GONE
    if process.agents is None:
        return Life.UNKNOWN
    return Life.SAME if process.agents == pulse.incarnation else Life.OTHER


def _listener(target: Target, pid: int | None) -> Listener:
    try:
        host, port = split_address(target.address)
    except ConfigError:  # on another host, whose kernel cannot be queried
        return Listener.UNKNOWN
    return holder(owners(host, port), None if pid is None else user_of(pid))


def holder(found: frozenset[int] | None, own: int | None) -> Listener:
    """Classify the listener by its owners and the user of the bot's process."""
    if not found or own is None:
        return Listener.UNKNOWN
    return Listener.OWN if own in found else Listener.FOREIGN


def user_of(pid: int) -> int | None:
    """Return the effective user of a process; /proc/PID may be owned by root."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return next((int(line.split()[2]) for line in text.splitlines() if line[:4] == "Uid:"), None)

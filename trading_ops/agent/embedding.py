"""Starts the agent and the watchers of a bot with the usual settings, in one call.

bot = embed(metrics, "alpha", 8411, secrets="var/secrets", state="var/alpha")
...
bot.gate.check(...)     # before every order
metrics.heartbeat()     # at the end of every complete pass
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trading_ops.agent.agent import Agent
from trading_ops.agent.commands import Command
from trading_ops.agent.confirmation import WAIT_SECONDS
from trading_ops.agent.gate import OrderGate
from trading_ops.agent.health import Health
from trading_ops.config.secret_files import TokenFile, agent_token_name, new_token, write_secret
from trading_ops.errors import SetupError
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.watchers import Progress, Watchers, watchers_of
from trading_ops.tls.contexts import TlsFiles

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """The agent and the watchers in a bot's process; keep it for its gate, and to stop it."""

    agent: Agent
    watchers: Watchers

    @property
    def gate(self) -> OrderGate:
        """The gate that every order has to pass."""
        return self.agent.gate

    def stop(self) -> None:
        """Stop both; not required before the process is killed."""
        self.watchers.stop()
        self.agent.stop()


def embed(
    metrics: BotMetrics,
    name: str,
    port: int,
    *,
    secrets: Path | str,
    state: Path | str,
    commands: Mapping[str, Command] | None = None,
    watch_loop: bool = True,
    pass_limit_seconds: float = 10.0,
    holds_wait_seconds: float = WAIT_SECONDS,
    host: str = LOOPBACK,
    tls: Path | str | None = None,
) -> Embedded:
    """Start the agent and all watchers; call in the loop that the commands run in.

    Health and progress come from the heartbeat. A bot with more to report creates an `Agent` and
    `watchers_of` itself.

    Args:
        metrics: of the bot.
        name: of the bot, as in targets.yml.
        port: to listen on.
        secrets: folder with the files `metrics_token` and `agent_token_NAME`, the bot's own, which
            is written if it is missing; a folder of an older version has `agent_token` for all.
        state: folder for holds, fences and answers; created if missing. It must survive the
            process, or a halt does not.
        commands: the bot's own, by name.
        watch_loop: False if the bot does not run in this loop.
        pass_limit_seconds: maximum age of the last complete pass.
        holds_wait_seconds: for which the gate waits after a start for the reconciler to confirm the
            holds; 0 for a bot without a reconciler.
        host: to listen on; other than loopback it needs `tls`.
        tls: folder with ca.crt, NAME.crt and NAME.key of `trading-ops tls init`.

    Raises:
        SetupError: a token or the folder cannot be used, the state is damaged, or the port cannot
            be listened on.
        ConfigError: the files for TLS are missing or cannot be used.
    """
    if tls is None and host != LOOPBACK:
        raise SetupError(
            f"the agent does not listen on {host} without TLS. Fix: run `trading-ops tls init`, "
            "and name the folder with `tls=`"
        )
    agent = agent_of(
        metrics,
        name,
        (host, port),
        secrets=secrets,
        state=state,
        commands=commands,
        pass_limit_seconds=pass_limit_seconds,
        holds_wait_seconds=holds_wait_seconds,
        tls=TlsFiles(Path(tls), name) if tls is not None else None,
    )
    agent.start()
    loop = asyncio.get_running_loop() if watch_loop else None
    watchers = pass_watchers(metrics, loop, pass_limit_seconds)
    watchers.start()
    return Embedded(agent=agent, watchers=watchers)


def pass_watchers(
    metrics: BotMetrics, loop: asyncio.AbstractEventLoop | None, limit_seconds: float
) -> Watchers:
    """Return all watchers; they watch the heartbeat for progress."""
    passes = Progress(
        component="passes", limit_seconds=limit_seconds, marker=lambda: metrics.heartbeat_at
    )
    return watchers_of(metrics, loop, progress=[passes])


def agent_of(
    metrics: BotMetrics,
    name: str,
    address: tuple[str, int] | None,
    *,
    secrets: Path | str,
    state: Path | str,
    commands: Mapping[str, Command] | None,
    pass_limit_seconds: float,
    holds_wait_seconds: float,
    tls: TlsFiles | None = None,
) -> Agent:
    """Return the agent of a bot whose health is its heartbeat; see `embed`."""
    folder = Path(state)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            f"{folder}: {error.strerror}. Fix: give a folder that this bot may write to"
        ) from error
    return Agent(
        name=name,
        address=address,
        metrics=metrics,
        health=lambda: Health(heartbeat_at=metrics.heartbeat_at),
        commands=commands or {},
        state_dir=folder,
        metrics_token=_token(Path(secrets) / "metrics_token"),
        agent_token=_own_token(Path(secrets) / agent_token_name(name)),
        heartbeat_limit_seconds=pass_limit_seconds,
        holds_wait_seconds=holds_wait_seconds,
        tls=tls,
    )


def _own_token(path: Path) -> TokenFile:
    """Return the bot's token file; create it at the first start of the bot or the reconciler."""
    file = TokenFile.of_agent(path)
    if not path.exists() and not file.is_shared:
        with contextlib.suppress(OSError):  # reading it reports the error
            write_secret(path, new_token())
    return file


def _token(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise SetupError(
            f"{path} cannot be read ({getattr(error, 'strerror', None) or 'not a text file'}). "
            "Fix: `make up` writes it, or write your own token to it"
        ) from error
    if not token:
        raise SetupError(f"{path} is empty. Fix: write one line into it, the token")
    return token

"""The bot's configuration: one JSON file, validated completely before anything starts."""

import fcntl
import ipaddress
from decimal import Decimal
from pathlib import Path
from typing import Annotated, TextIO

import msgspec

from trading_ops.agent.confirmation import WAIT_SECONDS
from trading_ops.botkit.leadership.settings import SharedRecords, check
from trading_ops.botkit.nonces.issuer import Sharing
from trading_ops.botkit.reconciliation.state import ExternalTradePolicy, OrphanPolicy
from trading_ops.botkit.risk.protection import Protection
from trading_ops.botkit.risk.settings import RiskLimits
from trading_ops.botkit.shutdown import LONGEST_SECONDS, ShutdownSeconds
from trading_ops.botkit.venue.rate_limit import Tier
from trading_ops.errors import ConfigError, SetupError
from trading_ops.instrument.watchers import ALL, Watcher
from trading_ops.redaction import known
from trading_ops_lab.paper.bot.mode import Mode
from trading_ops_lab.paper.bot.signals.settings import SignalSettings

FIX = "see trading_ops_lab/paper/bot/config.py for the keys"
LAST_PORT = 65_535

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class BotConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of the file. Addresses are 127.0.0.1:PORT; each `*_file` contains one token."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
    venue: str
    venue_address: str
    agent_address: str
    state_dir: Path
    metrics_token_file: Path
    agent_token_file: Path
    key_file: Path
    secret_file: Path
    symbols: Annotated[list[str], msgspec.Meta(min_length=1)]

    pass_interval_seconds: Positive = 1.0
    """Time between the starts of two trading passes."""

    dead_man_seconds: Annotated[int, msgspec.Meta(ge=3)] = 15
    """Timeout of the venue's dead man's switch; it is renewed three times within it."""

    probe_interval_seconds: Positive = 1.0
    """Time between two probes of the broker's session."""

    request_timeout_seconds: Positive = 3.0
    """Timeout of one request to the venue."""

    api_tier: Tier | None = None
    """The account's tier, at Kraken `starter`, `intermediate` or `pro`: the used share of its rate
    limit becomes a metric. The local stack sets `paper`, the paper venue's limit. None: no known
    limit."""

    heartbeat_limit_seconds: Positive = 10.0
    """Age of the heartbeat from which the bot reports itself as failing."""

    holds_wait_seconds: Annotated[float, msgspec.Meta(ge=0)] = WAIT_SECONDS
    """How long orders wait after a start for the reconciler to confirm the holds; 0 for a bot
    without a reconciler."""

    fast_samples: Count = 5
    """Passes in the fast moving average."""

    slow_samples: Count = 20
    """Passes in the slow moving average."""

    order_notional: Decimal = Decimal(4)
    """Size of an entry, in the quote currency; keep it below `risk.position_size`: prices rise."""

    order_lifetime_seconds: Positive = 5.0
    """Age at which an unfilled order is cancelled and placed again."""

    stale_seconds: Positive = 10.0
    """Age from which a price is too old to place an order.

    When the newest price of all symbols is that old, the feed is reported as down, and passes no
    longer count for the heartbeat.
    """

    lost_order_seconds: Positive = 15.0
    """Age from which an order that was sent, and that the venue does not know, counts as lost.

    Must be longer than a request can take: an order that counts as lost must not appear later.
    """

    reconcile_seconds: Positive = 60.0
    """Time between two comparisons of records and venue."""

    orphaned_orders: OrphanPolicy = OrphanPolicy.CANCEL
    """What to do with an order of this bot at the venue that is not in its records."""

    external_trades: ExternalTradePolicy = ExternalTradePolicy.HALT
    """What to do about a trade that the bot did not order: `halt`, or `adopt` it."""

    nonces: Sharing = Sharing.OWNER
    """Who uses the key on this machine: this bot alone, or `shared` with other processes that have
    this setting too; they wait for each other's requests."""

    nonce_dir: Path | None = None
    """Folder of the nonces, with a folder for each key; None: `nonces` beside the state folder. All
    bots with one key on one machine must use the same."""

    records: SharedRecords | None = None
    """The shared database of a bot with standby instances: see docs/failover.md. None: a file in
    the state folder, for one process."""

    instance: Annotated[str, msgspec.Meta(pattern=r"^([a-z][a-z0-9_-]{0,62})?$")] = ""
    """This instance's name, as in the registry of targets; empty: the bot's name."""

    signals: SignalSettings = SignalSettings()
    """The source of signals and its fallback: see docs/signals.md."""

    events_kept_days: Positive = 90.0
    """How long events are kept in the records."""

    events_kept_number: Count = 500_000
    """Maximum number of events kept, regardless of age."""

    log_dir: Path | None = None
    """Folder of the bot's log file; None: standard error. TRADING_OPS_LOG_DIR wins."""

    risk: RiskLimits = RiskLimits()
    """The risk limits: see trading_ops/botkit/risk/settings.py and docs/risk.md."""

    protection: Protection = Protection.STOP_LOSS
    """What covers an open position while the bot is down: `none`, or a `stop_loss` order."""

    mode: Mode = Mode.LIVE
    """`live`: orders go to the configured venue, a paper one or not. `paper`: none is sent."""

    watchers: frozenset[Watcher] = ALL
    """The enabled watchers, as a list; an empty list disables all."""

    stuck_seconds: Positive = 30.0
    """Time without progress from which a component that has work counts as stuck."""

    heartbeat_store_seconds: Positive = 30.0
    """Time between two stored heartbeats, with the signals' prices."""

    signals_restore_seconds: Positive = 60.0
    """Maximum age of the stored prices that the signals continue from after a restart."""

    shutdown: ShutdownSeconds = ShutdownSeconds()
    """The deadlines of a graceful shutdown: see trading_ops/botkit/shutdown.py."""

    trace_memory: bool = True
    """Whether the agent offers the command; nothing is traced before it is sent."""

    drills: bool = False
    """Whether the agent offers the commands of trading_ops_lab/paper/bot/drills.py, which inject
    faults into this process. The local stack sets it for the bots of its paper venue."""

    @property
    def stop_percent(self) -> Decimal | None:
        """Return the distance of protective stops below the entry in percent, None without them."""
        return self.risk.stop_percent if self.protection is Protection.STOP_LOSS else None


def nonce_dir_of(config: BotConfig) -> Path:
    """Return the folder of the nonces; with standby instances, each has a folder of its own.

    A frozen instance keeps its folder locked, which must not block the next leader. The shared
    records make sure that the next leader's nonces are higher.
    """
    home = config.state_dir if config.records else config.state_dir.parent
    return config.nonce_dir or home / "nonces"


def lock_state_dir(path: Path) -> TextIO:
    """Lock the state folder for this process; closing the returned file unlocks it.

    Two processes with one state folder would send conflicting nonces and orders.

    Args:
        path: of the lock file in the folder.

    Raises:
        SetupError: another process has the lock.
    """
    file = path.open("w", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise SetupError(
            f"another bot runs in {path.parent}: records in a file are for one process. Fix: stop"
            " it, set another state_dir, or run a standby with records in PostgreSQL, see"
            " docs/failover.md"
        ) from error
    return file


def load_config(path: Path) -> BotConfig:
    """Read and validate the file.

    Raises:
        ConfigError: it is missing or invalid JSON, or a key is unknown, missing or invalid.
    """
    try:
        config = msgspec.json.decode(path.read_bytes(), type=BotConfig, dec_hook=_decode)
    except OSError as error:
        raise ConfigError(str(path), "", error.strerror or "unreadable", "name a file") from error
    except msgspec.ValidationError as error:
        raise ConfigError(str(path), "", str(error), FIX) from error
    except msgspec.DecodeError as error:
        raise ConfigError(str(path), "", str(error), "write one JSON object") from error
    for key in ("venue_address", "agent_address"):
        split_address(getattr(config, key), where=str(path), key=key)
    if config.fast_samples >= config.slow_samples:
        raise ConfigError(
            str(path), "fast_samples", "it is not below slow_samples", "make it smaller"
        )
    _check_times(config, path)
    _check_instance(config, path)
    if config.order_notional <= 0:
        raise ConfigError(str(path), "order_notional", "it is not above zero", "write an amount")
    for symbol in config.symbols:
        if symbol.count("/") != 1:
            raise ConfigError(str(path), "symbols", f"{symbol!r} is not a pair", "write BASE/QUOTE")
    return config


def _check_instance(config: BotConfig, path: Path) -> None:
    if config.records is not None:
        seconds = config.request_timeout_seconds
        check(config.records, request_timeout_seconds=seconds, where=str(path))
    elif config.instance not in {"", config.name}:
        raise ConfigError(
            str(path),
            "instance",
            "instances of one bot share their records, and a file is for one process",
            "name a database in records.url_file, or remove instance",
        )


def _check_times(config: BotConfig, path: Path) -> None:
    if config.shutdown.total > LONGEST_SECONDS:
        raise ConfigError(
            str(path),
            "shutdown",
            f"its steps take {config.shutdown.total:g} s together",
            f"keep the sum within {LONGEST_SECONDS:g} s",
        )
    if config.lost_order_seconds <= config.request_timeout_seconds:
        raise ConfigError(
            str(path),
            "lost_order_seconds",
            "it is not above request_timeout_seconds",
            "make it some times as long",
        )


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"expected a path, got {value!r}")  # msgspec adds the key


def split_address(address: str, *, where: str, key: str) -> tuple[str, int]:
    """Split HOST:PORT.

    Args:
        address: the text.
        where: the file, for the error message.
        key: the key, for the error message.

    Raises:
        ConfigError: it has another form, or is not a loopback address.
    """
    host, _, port = address.rpartition(":")
    try:
        good = ipaddress.ip_address(host).is_loopback and 0 < int(port) <= LAST_PORT
    except ValueError:
        good = False
    if not good:
        raise ConfigError(where, key, f"{address!r} is not a local address", "write 127.0.0.1:PORT")
    return host, int(port)


def read_secret(path: Path) -> str:
    """Return the token in a file.

    Raises:
        ConfigError: the file cannot be read, or is empty.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), "", str(error), "run `trading-ops up` once") from error
    if not text:
        raise ConfigError(str(path), "", "it is empty", "run `trading-ops up` once")
    return known(text)

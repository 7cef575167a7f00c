"""The bot's configuration: one JSON file, checked whole before anything starts."""

import ipaddress
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec

from trading_ops.agent.confirmation import WAIT_SECONDS
from trading_ops.botkit.leadership.settings import SharedRecords, check
from trading_ops.botkit.nonces.issuer import Sharing
from trading_ops.botkit.reconciliation.state import ExternalTradePolicy, OrphanPolicy
from trading_ops.botkit.risk.protection import Protection
from trading_ops.botkit.risk.settings import RiskLimits
from trading_ops.botkit.shutdown import LONGEST_SECONDS, ShutdownSeconds
from trading_ops.botkit.venue.rate_limit import Tier
from trading_ops.errors import ConfigError
from trading_ops.instrument.watchers import ALL, Watcher
from trading_ops.redaction import known
from trading_ops_lab.paper.bot.mode import Mode
from trading_ops_lab.paper.bot.signals.settings import SignalSettings

FIX = "see trading_ops_lab/paper/bot/config.py for the keys"
LAST_PORT = 65_535

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class BotConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses are 127.0.0.1:PORT; paths are files of one token each, but for the folder."""

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
    """After which the venue cancels everything unless it is told again; a third is the interval."""

    probe_interval_seconds: Positive = 1.0
    """Time between two probes of the broker's session."""

    request_timeout_seconds: Positive = 3.0
    """For one request to the venue."""

    api_tier: Tier | None = None
    """Of the account, `starter`, `intermediate` or `pro` at Kraken: how much of its limit of calls
    is used is then a metric. The local stack's bot is told `paper`, the paper venue's own measure.
    None: nobody knows a limit."""

    heartbeat_limit_seconds: Positive = 10.0
    """Age of the heartbeat from which the bot calls itself failing."""

    holds_wait_seconds: Annotated[float, msgspec.Meta(ge=0)] = WAIT_SECONDS
    """For which no order is sent after a start, until the reconciler has confirmed the holds; 0:
    for a bot without a reconciler."""

    fast_samples: Count = 5
    """Passes in the fast moving average."""

    slow_samples: Count = 20
    """Passes in the slow moving average."""

    order_notional: Decimal = Decimal(4)
    """Size of an entry, in the quote currency; below the limit of a position, for prices rise."""

    order_lifetime_seconds: Positive = 5.0
    """After which an order that was not filled is cancelled and placed anew."""

    stale_seconds: Positive = 10.0
    """Age of a price from which it is too old to place an order on.

    When the newest price of all symbols is that old, health tells of a silent feed, and passes no
    longer count as work done.
    """

    lost_order_seconds: Positive = 15.0
    """After which an order that was sent, and that the venue does not know, never arrived.

    Longer than a request can be under way: what is given up must not turn up later.
    """

    reconcile_seconds: Positive = 60.0
    """Time between two comparisons of records and venue."""

    orphaned_orders: OrphanPolicy = OrphanPolicy.CANCEL
    """What becomes of an order at the venue that is the bot's and not in its records."""

    external_trades: ExternalTradePolicy = ExternalTradePolicy.HALT
    """What becomes of a trade that somebody else made on the account: `halt`, or `adopt` it."""

    nonces: Sharing = Sharing.OWNER
    """Who issues the key's nonces on this machine: this bot alone, or `shared` with other processes
    that have this setting too, which then wait for each other's requests."""

    nonce_dir: Path | None = None
    """Where nonces are kept, a folder for each key; None: `nonces` beside the state folder. All
    bots of one key and machine must name the same."""

    records: SharedRecords | None = None
    """Where several instances of the bot have their records: see docs/failover.md. None: in a file
    in the state folder, for one process."""

    instance: Annotated[str, msgspec.Meta(pattern=r"^([a-z][a-z0-9_-]{0,62})?$")] = ""
    """This instance's name, as in the registry of targets; empty: the bot's name."""

    signals: SignalSettings = SignalSettings()
    """What decides what to hold, and what stands in for it: see docs/signals.md."""

    events_kept_days: Positive = 90.0
    """For which events are kept in the records."""

    events_kept_number: Count = 500_000
    """Events that are kept at most, whatever their age."""

    log_dir: Path | None = None
    """Folder of the bot's log file; None: standard error. TRADING_OPS_LOG_DIR wins."""

    risk: RiskLimits = RiskLimits()
    """The bot's own limits: see trading_ops/botkit/risk/settings.py and docs/risk.md."""

    protection: Protection = Protection.STOP_LOSS
    """What covers an open position while nobody looks: `none`, or a `stop_loss` order."""

    mode: Mode = Mode.LIVE
    """`live`: orders go to the configured venue, a paper one or not. `paper`: none is sent."""

    watchers: frozenset[Watcher] = ALL
    """Which of them are on, as a list; an empty one switches all off."""

    stuck_seconds: Positive = 30.0
    """Time without progress from which a component that has work counts as stuck."""

    heartbeat_store_seconds: Positive = 30.0
    """Time between two heartbeats that are written into the records, with the signals' prices."""

    crash_after_seconds: Positive = 300.0
    """Age of the last heartbeat on record from which `--last-life` calls a life crashed."""

    signals_restore_seconds: Positive = 60.0
    """Age up to which the signals go on from the prices of an earlier life."""

    shutdown: ShutdownSeconds = ShutdownSeconds()
    """The deadlines of an ordered end: see trading_ops/botkit/shutdown.py."""

    trace_memory: bool = True
    """Whether the agent has that command; nothing is traced until it is asked for."""

    drills: bool = False
    """Whether the agent has the commands of trading_ops_lab/paper/bot/drills.py, which break this
    process on purpose. The local stack says so to the bots of its paper venue."""


def nonce_dir_of(config: BotConfig) -> Path:
    """Return where nonces are kept; an instance with standbys has a folder of its own.

    One that is frozen holds its folder, and must not keep the next one from it. That theirs lie
    above is seen to in the records that they share.
    """
    home = config.state_dir if config.records else config.state_dir.parent
    return config.nonce_dir or home / "nonces"


def load_config(path: Path) -> BotConfig:
    """Read and check the file.

    Raises:
        ConfigError: it is missing or no JSON, or a key is unknown, missing or wrong.
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
            raise ConfigError(str(path), "symbols", f"{symbol!r} is no pair", "write BASE/QUOTE")
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
    if config.crash_after_seconds < 2 * config.heartbeat_store_seconds:
        raise ConfigError(
            str(path),
            "crash_after_seconds",
            "it is below two heartbeat_store_seconds",
            "make it some times as long",
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
    raise ValueError(f"expected a path, got {value!r}")  # which msgspec gives its place


def split_address(address: str, *, where: str, key: str) -> tuple[str, int]:
    """Take HOST:PORT apart.

    Raises:
        ConfigError: it is not of that form, or not on this machine.
    """
    host, _, port = address.rpartition(":")
    try:
        good = ipaddress.ip_address(host).is_loopback and 0 < int(port) <= LAST_PORT
    except ValueError:
        good = False
    if not good:
        raise ConfigError(where, key, f"{address!r} is no local address", "write 127.0.0.1:PORT")
    return host, int(port)


def read_secret(path: Path) -> str:
    """Return the one token in a file.

    Raises:
        ConfigError: it cannot be read, or is empty.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), "", str(error), "run `trading-ops up` once") from error
    if not text:
        raise ConfigError(str(path), "", "it is empty", "run `trading-ops up` once")
    return known(text)

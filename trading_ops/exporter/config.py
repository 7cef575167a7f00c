"""The exporter's configuration file.

The file is YAML, written by an operator, or JSON, written by `trading-ops up`. Paths are relative
to its folder. docs/exporter.md describes every key.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from trading_ops.errors import ConfigError
from trading_ops.exporter.addresses import check_listening, is_private
from trading_ops.exporter.config_file import convert_config, read_config

Name = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_-]{0,62}$")]
"""A label value: lower-case letters, digits, - and _."""

Seconds = Annotated[float, msgspec.Meta(ge=1, le=86_400)]
Largest = Annotated[int, msgspec.Meta(ge=0, le=100)]


MOST_SYMBOLS = 16


class VenueEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A venue with Kraken's public API to probe every second, over plain HTTP."""

    name: Name
    """The value of the label `venue`."""

    address: str
    """`host:port` of its REST API."""

    symbols: tuple[Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9./_-]{1,32}$")], ...] = ()
    """Markets whose open state is exported, at most sixteen."""


class CcxtEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A venue to query through ccxt, in its own child process."""

    name: Name
    """The value of the label `venue`."""

    exchange: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9]{1,40}$")]
    """ccxt's id of the venue, such as `kraken`."""

    key_file: Path | None = None
    secret_file: Path | None = None
    """A read-only API key and its secret. Without them only public data is read."""

    passphrase_file: Path | None = None
    """For venues whose API keys have a passphrase."""

    url: str | None = None
    """Replaces all URLs of the venue, for a proxy or a private venue."""

    interval_seconds: Seconds = 15.0
    """Interval between reads of status and clock."""

    balance_interval_seconds: Seconds = 60.0
    timeout_seconds: Seconds = 30.0
    """Timeout after which the child process is killed."""

    request_interval_seconds: Annotated[float, msgspec.Meta(ge=0.001, le=60)] | None = None
    """Minimum seconds between two requests; None: ccxt's limit for the venue."""

    currencies: tuple[str, ...] = ()
    """Currencies whose balances are exported; empty: all nonzero ones, up to a limit."""

    accept_trading_key: bool = False
    """True: accept a key that can trade or withdraw according to the venue."""


class ProcessEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A process to watch, found in one of three ways."""

    name: Name
    """The value of the label `process`."""

    pid_file: Path | None = None
    command: str | None = None
    """The whole command line as in `ps -o args`; with `pid_file`, the process must match it."""

    unit: str | None = None
    units_file: Path | None = None
    """A unit of `trading-ops up`, and the file in which the supervisor lists its processes."""


class FreqtradeEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Freqtrade to read."""

    name: Name
    """Name of its target, and the value of the label `bot`."""

    address: str
    """`host:port` of its REST API."""

    credentials_file: Path
    """One line, `user:password`, from `api_server` in Freqtrade's configuration."""

    ws_token_file: Path | None = None
    """One line, its `ws_token`. Without it, the WebSocket is not used and everything is polled."""


class PostgresqlEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A PostgreSQL database to read."""

    name: Name
    """The value of the label `database`."""

    dsn_file: Path
    """A file with one line, a libpq connection string, which may contain a password."""

    interval_seconds: Seconds = 10.0
    timeout_seconds: Seconds = 5.0
    """Timeout of a whole reading, after which the connection is closed."""

    storage_interval_seconds: Seconds = 60.0
    """Interval between reads of tables and indexes."""

    largest_tables: Largest = 20
    largest_indexes: Largest = 20
    """Maximum number with their own series."""


class SqliteEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A SQLite file to read."""

    name: Name
    """The value of the label `database`."""

    path: Path
    interval_seconds: Seconds = 15.0
    timeout_seconds: Seconds = 5.0
    busy_seconds: Annotated[float, msgspec.Meta(ge=0.05, le=2)] = 0.5
    """Time that the write lock must be held without a break to count as locked."""

    check_interval_seconds: Annotated[float, msgspec.Meta(ge=0)] = 86_400.0
    """Interval between two runs of `quick_check`; 0: never."""

    check_seconds: Annotated[float, msgspec.Meta(ge=0.01, le=60)] = 10.0
    """A longer check is cancelled: while it reads, the WAL cannot be reset."""

    max_checked_bytes: Annotated[int, msgspec.Meta(ge=0)] = 256 * 1024 * 1024
    """A larger file is not checked."""


class LogFilesEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of log files, for example those of one bot."""

    name: Name
    """The value of the label `log`."""

    paths: Annotated[tuple[Path, ...], msgspec.Meta(min_length=1, max_length=20)]
    """Files; the file name, but not the folder, may contain `*`, `?` and `[…]`."""

    interval_seconds: Seconds = 15.0
    timeout_seconds: Seconds = 5.0
    max_files: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    """Number of most recently written files to read; the others are only counted."""

    max_read_bytes: Annotated[int, msgspec.Meta(ge=4096, le=64 * 1024 * 1024)] = 1024 * 1024
    """Maximum new bytes of a file to read at once; older ones are skipped."""


class ExporterConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration file."""

    address: str = "127.0.0.1:8421"
    """`host:port` on which metrics are served."""

    metrics_token_file: Path = Path("metrics_token")
    """The token that a scrape must present."""

    venues: tuple[VenueEntry, ...] = ()
    paths: tuple[Path, ...] = ()
    """Folders whose file systems are exported."""

    freqtrades: tuple[FreqtradeEntry, ...] = ()
    ccxt: tuple[CcxtEntry, ...] = ()
    processes: tuple[ProcessEntry, ...] = ()
    postgresql: tuple[PostgresqlEntry, ...] = ()
    sqlite: tuple[SqliteEntry, ...] = ()
    log_files: tuple[LogFilesEntry, ...] = ()
    interfaces: tuple[str, ...] = ()
    """Monitored network interfaces; empty: those that are not virtual."""

    listener_users: str = ""
    """Users, besides root and our own, whose Freqtrades on this machine receive their password:
    names or IDs, comma-separated; `any` disables the check."""

    beyond_this_host: bool = False
    """True: `address` may be one that other machines reach, without TLS."""

    tls_folder: Path | None = None
    """Folder with ca.crt, and with the certificate and key of `tls_name`: every client then needs a
    certificate of that CA."""

    tls_name: str = "exporter"
    """Name of the exporter in targets.yml."""


def load_config(path: Path) -> ExporterConfig:
    """Read and check the file.

    Raises:
        ConfigError: it cannot be read, an unknown key is in it, or a rule is broken.
    """
    return _whole(read_config(path, ExporterConfig), where=str(path), folder=path.parent)


def made_config(raw: Mapping[str, Any], *, where: str, folder: Path) -> ExporterConfig:
    """Create the configuration from derived values; `where` names their file in errors.

    Raises:
        ConfigError: as for a file.
    """
    config = convert_config(dict(raw), ExporterConfig, where=where, folder=folder)
    return _whole(config, where=where, folder=folder)


def _whole(config: ExporterConfig, *, where: str, folder: Path) -> ExporterConfig:
    check(config, where)
    # The default is not from the file, so it is not relative to its folder yet.
    token = folder.absolute() / config.metrics_token_file
    return msgspec.structs.replace(config, metrics_token_file=token)


def _may_reach_out(config: ExporterConfig) -> bool:
    return config.beyond_this_host or config.tls_folder is not None


def check(config: ExporterConfig, where: str) -> None:
    """Check rules that the types cannot express.

    Raises:
        ConfigError: two entries share a name, or an entry contradicts itself.
    """
    check_listening(config.address, where, beyond_this_host=_may_reach_out(config))
    venues = [venue.name for venue in config.venues] + [venue.name for venue in config.ccxt]
    _check_unique(where, "venues, ccxt", venues)
    _check_unique(where, "freqtrades", [bot.name for bot in config.freqtrades])
    _check_unique(where, "processes", [process.name for process in config.processes])
    _check_unique(where, "postgresql", [database.name for database in config.postgresql])
    _check_unique(where, "sqlite", [database.name for database in config.sqlite])
    _check_unique(where, "log_files", [log.name for log in config.log_files])
    for probed in config.venues:
        if len(probed.symbols) > MOST_SYMBOLS:
            fix = f"name the {MOST_SYMBOLS} that matter: each is a request every five seconds"
            raise ConfigError(where, f"venues[{probed.name}].symbols", "too many", fix)
    for venue in config.ccxt:
        _check_ccxt(venue, where)
    for process in config.processes:
        _check_process(process, where)


def _check_unique(where: str, key: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(where, key, f"the name {name} is used twice", "rename one of the two")


def _check_ccxt(venue: CcxtEntry, where: str) -> None:
    key = f"ccxt[{venue.name}]"
    if (venue.key_file is None) != (venue.secret_file is None):
        raise ConfigError(
            where, key, "a key needs its secret", "write both key_file and secret_file, or none"
        )
    if venue.url is not None and not is_private(venue.url):
        raise ConfigError(where, f"{key}.url", "a key would be sent unencrypted", "write https://…")


def _check_process(process: ProcessEntry, where: str) -> None:
    key = f"processes[{process.name}]"
    if process.unit is not None:
        fits = process.units_file is not None and not (process.pid_file or process.command)
    else:
        fits = process.units_file is None and bool(process.pid_file or process.command)
    if not fits:
        fix = "write pid_file, command or both; or unit and units_file"
        raise ConfigError(where, key, "it does not define how to find the process", fix)

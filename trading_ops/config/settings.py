"""Settings: where things are. The one reader of the environment.

Each field can be set by `settings.yml` beside `targets.yml`, and by an environment variable
`TRADING_OPS_<FIELD>`, which wins. Addresses and ports are not here: they are in `targets.yml`.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import quote

import msgspec

from trading_ops.config.files import (
    DATABASE_PASSWORD,
    check_database,
    first_line,
    read_password,
    read_valid_lines,
    read_yaml,
    refuse_exposed,
)
from trading_ops.config.log_policy import DAY_SECONDS, MEGABYTE, LogPolicy
from trading_ops.errors import ConfigError
from trading_ops.redaction import known

PREFIX = "TRADING_OPS_"


class EngineAccess(NamedTuple):
    """How Prometheus or Alertmanager is reached."""

    key: str
    """The setting with its URL."""

    url: str
    """Empty: as targets.yml says."""

    user: str
    password_file: Path | None
    """None: no password is sent."""

    authority: Path | None
    """The CA that signed its certificate; None: `ca.crt` of `tls`, else the system's."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Paths are absolute after loading; relative ones count from `root`."""

    root: Path
    """The folder that holds targets.yml, prometheus/, alertmanager/ and runbooks/."""

    var: Path = Path("var")
    """Everything that is written: data, secrets, logs. Can be deleted while nothing runs."""

    targets_file: Path = Path("targets.yml")
    capacity_file: Path = Path("capacity.yml")
    """Thresholds, limits and prices of resources that differ from the defaults; need not exist."""

    runbooks: Path = Path("runbooks")
    notify_config: Path = Path("notify.yml")
    """Where messages go that do not page; no such file: none are sent."""
    readiness_config: Path = Path("readiness.yml")
    """The plan from paper to live; the shipped one while there is no such file."""

    prometheus_config: Path = Path("prometheus")
    alertmanager_config: Path = Path("alertmanager")

    prometheus_url: str = ""
    """Where Prometheus is reached, such as https://prometheus.example.com; empty: where targets.yml
    says."""

    prometheus_user: str = "trading-ops"
    """The user for HTTP Basic."""

    prometheus_password_file: Path | None = None
    """The file with its password; None: `prometheus_password` in secrets, and no password where
    that is missing."""

    prometheus_ca_file: Path | None = None
    """The CA that signed Prometheus' certificate; None: `ca.crt` in `tls`, else the system's."""

    alertmanager_url: str = ""
    """The same for Alertmanager; of a cluster every member, separated by commas."""

    alertmanager_user: str = "trading-ops"
    alertmanager_password_file: Path | None = None
    alertmanager_ca_file: Path | None = None

    engine_passwords: bool = False
    """True: `trading-ops up` protects Prometheus and Alertmanager with generated passwords."""

    tls_folder: Path | None = None
    """Folder of `ca.crt`, and of NAME.crt and NAME.key of each process here; None: `tls` in
    `var`."""

    reconciler: str = ""
    """Which entry of targets.yml this reconciler is; empty: the first one of its kind."""

    database: str = ""
    """URL of a PostgreSQL database, without its password; empty: SQLite in `var`."""

    observe_only: bool = False
    """True: decide and record, but act on nothing. The local demo acts."""

    two_persons: bool = False
    """True: a one-shot that one person orders by hand needs another person's approval."""

    release_at_bot: bool = False
    """True: a hold that a person placed may be released at the bot itself, with its agent's token.
    False: it is placed again."""

    listener_users: str = ""
    """Users, beside root and our own, whose processes on this machine may be sent tokens: names or
    ids, separated by commas; `any`: it is not checked."""

    systemd_bus: str = ""
    """Address of the D-Bus that the node finds systemd on, such as `unix:path=/run/user/1000/bus`;
    empty: the system bus."""

    docker_host: str = ""
    """Address of the Docker API for the node: `unix:///path`, or the URL of a filtering proxy;
    empty: Docker's default."""

    dead_man_switch: str = ""
    """URL outside of this machine that Alertmanager calls each minute; empty: nobody is called."""

    poll_interval_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 15.0
    """How often the reconciler reads Prometheus and Alertmanager without being told to."""

    alertmanager_receivers: str = "reconciler,trading-ops"
    """Alertmanager's receivers, separated by commas, whose alerts are ours."""

    silence_longest_seconds: Annotated[float, msgspec.Meta(gt=0)] = 86400.0
    """A silence of our alerts, set by hand, that lasts longer raises TradingOpsSilenceWide."""

    token_file: Path | None = None
    """The token that the command line sends to the reconciler; None: `operator_token`."""

    console_hosts: str = ""
    """Further host names by which browsers call the console, separated by commas: those of a proxy.
    Loopback addresses and `localhost` always work."""

    console_idle_seconds: Annotated[float, msgspec.Meta(ge=60, le=43200)] = 1800.0
    """After so long without anything that a person does, a session of the console ends."""

    grafana_url: str = ""
    """Where browsers find Grafana, for the console's links to the boards; empty: no links."""

    agent_silence_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 3.0
    """After how much silence of a bot's agent a halt is asked for; after twice that, a process that
    is alive and mute is stopped. 0: never."""

    storm_targets: Annotated[int, msgspec.Meta(ge=0)] = 3
    """As many targets may fail at once before automation waits; a target fails while it has an open
    incident that is critical and auto-remediated."""

    storm_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    """Or as large a share of the registered bots, if that is more."""

    storm_quiet_seconds: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 120.0
    """How long no more than that may fail until automation goes on."""

    healthy_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """Share of the other targets of a kind that must be healthy before one of it is acted on."""

    unhealthy_targets: Annotated[int, msgspec.Meta(ge=0)] = 0
    """As many of them may be unhealthy whatever their share is."""

    attempts_total: Annotated[int, msgspec.Meta(ge=0)] = 20
    """Attempts on all targets together within `attempts_window_seconds`."""

    attempts_share: Annotated[float, msgspec.Meta(ge=0)] = 0.1
    """Or so many for each registered bot, if that is more."""

    attempts_window_seconds: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 600.0
    """The time in which attempts are counted."""

    notifications_kept_days: Annotated[float, msgspec.Meta(ge=1, le=36600)] = 7.0
    """For which the bodies of notifications are kept that were taken apart."""

    incidents_kept_days: Annotated[float, msgspec.Meta(ge=7, le=36600)] = 400.0
    """For which closed incidents are kept with their attempts, and holds, pauses, maintenance
    windows and quarantined notifications that are over."""

    messages_kept_days: Annotated[float, msgspec.Meta(ge=1, le=36600)] = 30.0
    """For which messages are kept that were delivered or discarded."""

    bot_events_kept_days: Annotated[float, msgspec.Meta(ge=1, le=36600)] = 400.0
    """For which events are kept that bots reported, such as trades."""

    events_kept_days: Annotated[float, msgspec.Meta(ge=7, le=36600)] = 400.0
    """For which events are kept. What is older is removed behind a signed checkpoint."""

    backup_repository: str = ""
    """Where backups are stored: a folder, or `restic:` and a location of restic's, such as
    `restic:sftp:user@host:/backups`; empty: the folder `backups` beside `var`, not encrypted."""

    backup_password_file: Path | None = None
    """The file with the password of a restic repository; None: `backup_password` in secrets."""

    backup_interval_seconds: Annotated[float, msgspec.Meta(ge=0, le=31 * DAY_SECONDS)] = 300.0
    """How often a backup is taken; 0: none is taken, and no alert expects one."""

    backup_keep_last: Annotated[int, msgspec.Meta(ge=1)] = 12
    """As many of the newest are kept; of those before, the newest one of each of so many …"""

    backup_keep_hourly: Annotated[int, msgspec.Meta(ge=0)] = 24
    """… hours, …"""

    backup_keep_daily: Annotated[int, msgspec.Meta(ge=0)] = 14
    """… days, …"""

    backup_keep_weekly: Annotated[int, msgspec.Meta(ge=0)] = 8
    """… weeks, …"""

    backup_keep_monthly: Annotated[int, msgspec.Meta(ge=0)] = 12
    """… and months that have one."""

    log_dir: Path | None = None
    """Folder of log files; None: `log` in `var` for the stack, and standard error for a process
    that is started alone."""

    log_name: str = ""
    """Of a process's file in it, without `.log`; empty: the name of the process."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"

    log_file_megabytes: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 10.0
    """Size at which a log file is moved aside."""

    log_file_hours: Annotated[float, msgspec.Meta(gt=0, le=8784)] = 24.0
    """Age at which it is, counted from midnight UTC."""

    log_kept_days: Annotated[float, msgspec.Meta(gt=0, le=3660)] = 30.0
    """For which what was moved aside is kept, compressed."""

    log_folder_megabytes: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] = 200.0
    """Of the whole folder; what was moved aside first goes first."""

    @property
    def secrets(self) -> Path:
        """Folder of generated tokens and keys, one a file, mode 0600."""
        return self.var / "secrets"

    @property
    def tls(self) -> Path:
        """Folder of certificates and their keys."""
        return self.tls_folder or self.var / "tls"

    @property
    def prometheus_access(self) -> EngineAccess:
        """How Prometheus is reached."""
        return EngineAccess(
            "prometheus_url",
            self.prometheus_url,
            self.prometheus_user,
            self.prometheus_password_file or self._present("prometheus_password"),
            self.prometheus_ca_file,
        )

    @property
    def alertmanager_access(self) -> EngineAccess:
        """How each Alertmanager is reached."""
        return EngineAccess(
            "alertmanager_url",
            self.alertmanager_url,
            self.alertmanager_user,
            self.alertmanager_password_file or self._present("alertmanager_password"),
            self.alertmanager_ca_file,
        )

    def _present(self, name: str) -> Path | None:
        path = self.secrets / name
        return path if path.exists() else None

    @property
    def logs(self) -> Path:
        """Folder of the processes' logs."""
        return self.log_dir or self.var / "log"

    @property
    def log_policy(self) -> LogPolicy:
        """Where this process logs to, and how much is kept."""
        return LogPolicy(
            folder=self.log_dir,
            name=self.log_name,
            level=self.log_level,
            file_bytes=int(self.log_file_megabytes * MEGABYTE),
            file_seconds=self.log_file_hours * 3600,
            kept_seconds=self.log_kept_days * DAY_SECONDS,
            folder_bytes=int(self.log_folder_megabytes * MEGABYTE),
        )

    @property
    def anchors(self) -> Path:
        """The file of the audit's anchors: what the newest event was, minute by minute."""
        return self.var / "audit" / "anchors"

    @property
    def last_good_targets(self) -> Path:
        """The copy of targets.yml that the stack or the reconciler read last."""
        return self.var / "supervisor" / "targets.yml"

    @property
    def journal(self) -> Path:
        """The file that keeps holds while the database does not answer."""
        return self.var / "reconciler" / "journal"

    @property
    def handling(self) -> Path:
        """The file that marks which incidents the reconciler is handling."""
        return self.var / "reconciler" / "handling"

    @property
    def backup_password(self) -> Path:
        """The file with the password of a restic repository."""
        return self.backup_password_file or self.secrets / "backup_password"

    @property
    def backup_work(self) -> Path:
        """Folder of what backups need while they run."""
        return self.var / "backup"

    @property
    def backup_records(self) -> Path:
        """Folder of what is known about each backup."""
        return self.var / "backup" / "records"

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the reconciler's database, with the password from its file, if any.

        Raises:
            ConfigError: the file cannot be read, is empty, or others can read it.
        """
        if not self.database:
            return f"sqlite:///{self.var / 'reconciler' / 'reconciler.db'}"
        path = self.secrets / DATABASE_PASSWORD
        scheme, _, rest = self.database.partition("://")
        place, slash, database = rest.partition("/")
        user, at, host = place.rpartition("@")
        if scheme == "sqlite" or ":" in user or "passfile=" in rest or not path.exists():
            return self.database
        password = quote(known(read_password(path)), safe="")
        return f"{scheme}://{user if at else ''}:{password}@{host}{slash}{database}"

    @property
    def command_token(self) -> str:
        """Return the token by which the reconciler knows who is at the command line.

        Raises:
            ConfigError: its file cannot be read, or is empty.
        """
        if self.token_file is None:
            return self.secret("operator_token")
        return known(first_line(self.token_file, "put a token of `trading-ops token add` into it"))

    def secret(self, name: str) -> str:
        """Return the secret that is to be sent: the first line of its file.

        Raises:
            ConfigError: it was never written, is empty, or cannot be read.
        """
        return self.accepted_secrets(name)[0]

    def freqtrade_credentials(self, name: str) -> str:
        """Return `user:password` of a Freqtrade: the one line of its file.

        Raises:
            ConfigError: it is missing, has another form, or others can read it.
        """
        path = self.secrets / f"freqtrade_{name}"
        fix = f"umask 077; printf 'USER:PASSWORD\\n' > {path}"
        try:
            mode = path.stat().st_mode & 0o077
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            said = getattr(error, "strerror", None) or "it is not UTF-8"
            raise ConfigError(str(path), "", said.lower(), fix) from error
        if mode:
            raise ConfigError(str(path), "", "others can read it", f"chmod go= {path}")
        user, _, password = text.partition(":")
        if not (user and password and text.isprintable()):
            raise ConfigError(str(path), "", "it must be one line, user:password", fix)
        known(password)
        return text

    def accepted_secrets(self, name: str) -> tuple[str, ...]:
        """Return the secrets that are accepted: one a line, two while one replaces the other.

        Raises:
            ConfigError: there is none, the file cannot be read, or every user can open it.
        """
        path = self.secrets / name
        try:
            refuse_exposed(path)
            lines = path.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeError) as error:
            raise ConfigError(str(path), "", str(error), "run `trading-ops up` once") from error
        secrets = tuple(known(line.strip()) for line in lines if line.strip())
        if not secrets:
            # An empty token would open the door to everybody who sends none.
            raise ConfigError(str(path), "", "it is empty", "delete it and run `trading-ops up`")
        return secrets


def load_settings(root: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read `settings.yml` and the environment.

    Args:
        root: the project folder; by default TRADING_OPS_ROOT or the working directory.
        environ: stands in for the process's environment in tests.

    Raises:
        ConfigError: an unknown key, a wrong type, or a file that cannot be read.
    """
    env = os.environ if environ is None else environ
    folder = (root or Path(env.get(f"{PREFIX}ROOT", "."))).resolve()
    raw: dict[str, Any] = {"root": str(folder)}
    path = folder / "settings.yml"
    if path.exists():
        raw |= read_yaml(path)
    fields = {field.name for field in msgspec.structs.fields(Settings)} - {"root"}
    overrides = {name: env[key] for name in fields if (key := PREFIX + name.upper()) in env}
    _refuse_unknown(env, fields)
    try:
        settings = msgspec.convert(raw | overrides, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        wrong = next((name for name in overrides if f"$.{name}" in str(error)), None)
        if wrong is not None:
            variable = PREFIX + wrong.upper()
            fix = "see docs/deployment.md, “Settings”"
            raise ConfigError("environment", variable, str(error), fix) from error
        raise ConfigError(
            str(path), "", str(error), "see docs/deployment.md, “Settings”"
        ) from error
    if "database" in overrides:
        check_database(settings.database, "environment", f"{PREFIX}DATABASE", readable=False)
    else:
        check_database(settings.database, str(path), "database", readable=True)
    return _absolute(settings)


def setting_sources(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return where the value of each setting is from: `environment`, `settings.yml` or `default`.

    Args:
        settings: as loaded.
        environ: stands in for the process's environment in tests.
    """
    env = os.environ if environ is None else environ
    path = settings.root / "settings.yml"
    written = read_yaml(path) if path.exists() else {}
    found = {}
    for name in (field.name for field in msgspec.structs.fields(Settings)):
        in_file = "settings.yml" if name in written else "default"
        found[name] = "environment" if PREFIX + name.upper() in env else in_file
    return found


def notification_socket(environ: Mapping[str, str] | None = None) -> tuple[str, float]:
    """Return the socket on which systemd is notified, and the watchdog's seconds; "" and 0: none.

    Args:
        environ: stands in for the process's environment in tests.
    """
    env = os.environ if environ is None else environ
    microseconds = env.get("WATCHDOG_USEC", "")
    seconds = int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0
    return env.get("NOTIFY_SOCKET", ""), seconds


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of one of our commands that is to have these settings' folders."""
    place = {f"{PREFIX}ROOT": str(settings.root), f"{PREFIX}VAR": str(settings.var)}
    return {**os.environ, **place}


def load_usable_settings(
    root: Path | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read what can be read and ignore what is invalid: for orders that must go out all the same.

    Each line of a `settings.yml` that is not YAML is read by itself.

    Args:
        root: as for `load_settings`.
        environ: as for `load_settings`.
    """
    env = os.environ if environ is None else environ
    folder = (root or Path(env.get(f"{PREFIX}ROOT", "."))).resolve()
    fields = {field.name for field in msgspec.structs.fields(Settings)} - {"root"}
    found = read_valid_lines(folder / "settings.yml")
    found |= {name: env[key] for name in fields if (key := PREFIX + name.upper()) in env}
    usable: dict[str, Any] = {"root": str(folder)}
    for name in fields & found.keys():
        with contextlib.suppress(msgspec.ValidationError):
            one = {"root": str(folder), name: found[name]}
            msgspec.convert(one, Settings, strict=False, dec_hook=_decode)
            usable[name] = found[name]
    return _absolute(msgspec.convert(usable, Settings, strict=False, dec_hook=_decode))


def _absolute(settings: Settings) -> Settings:
    return msgspec.structs.replace(
        settings,
        **{
            field.name: (settings.root / value).resolve()
            for field in msgspec.structs.fields(Settings)
            if isinstance(value := getattr(settings, field.name), Path)
        },
    )


def load_log_policy(
    folder: Path | None = None, environ: Mapping[str, str] | None = None
) -> LogPolicy:
    """Return where a process logs to that has a configuration of its own: by the environment.

    Args:
        folder: of its log files, where the environment names none.
        environ: stands in for the process's environment in tests.

    Raises:
        ConfigError: a setting of the log is wrong, or unknown.
    """
    env = os.environ if environ is None else environ
    fields = {f.name for f in msgspec.structs.fields(Settings) if f.name.startswith("log_")}
    given = {name: env[key] for name in fields if (key := PREFIX + name.upper()) in env}
    logs_only = {key: "" for key in env if key.startswith(f"{PREFIX}LOG_")}
    _refuse_unknown(logs_only, fields)
    try:
        settings = msgspec.convert(
            {"root": str(Path.cwd()), "log_dir": folder and str(folder), **given},
            Settings,
            strict=False,
            dec_hook=_decode,
        )
    except msgspec.ValidationError as error:
        wrong = next((name for name in given if f"$.{name}" in str(error)), "log_dir")
        fix = "see docs/logs.md"
        raise ConfigError("environment", PREFIX + wrong.upper(), str(error), fix) from error
    return settings.log_policy


def _refuse_unknown(env: Mapping[str, str], fields: set[str]) -> None:
    """A misspelt variable that is ignored in silence would be believed."""
    known = {f"{PREFIX}ROOT", *(PREFIX + name.upper() for name in fields)}
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in known:
            fix = "one of " + ", ".join(sorted(known))
            raise ConfigError("environment", name, "there is no such setting", fix)


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"expected a path, got {value!r}")  # msgspec adds the key

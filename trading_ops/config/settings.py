"""Settings: their names, types, defaults, and what follows from them.

Each field can be set by `settings.yml` next to `targets.yml`, and by an environment variable
`TRADING_OPS_<FIELD>`, which wins. Addresses and ports are not here: they are in `targets.yml`.
"""

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec

from trading_ops.config.log_policy import DAY_SECONDS, MEGABYTE, LogPolicy
from trading_ops.config.secret_files import (
    credentials,
    first_line,
    secrets_of,
    url_with_password,
)
from trading_ops.redaction import known

DATABASE_PASSWORD = "database_password"  # noqa: S105 - the name of its file
BACKUP_DATABASE_PASSWORD = "backup_database_password"  # noqa: S105 - likewise


class MonitoringAccess(NamedTuple):
    """Connection settings of Prometheus or Alertmanager."""

    key: str
    """The setting with its URL."""

    url: str
    """Empty: the value in targets.yml applies."""

    user: str
    password_file: Path | None
    """None: no password is sent."""

    authority: Path | None
    """CA of its certificate; None: `ca.crt` in `tls`, else the system's CAs."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Paths are absolute after loading; relative ones count from `root`."""

    root: Path
    """The folder with targets.yml, prometheus/, alertmanager/ and runbooks/."""

    var: Path = Path("var")
    """All data: databases, secrets, logs. May be deleted while nothing runs."""

    targets_file: Path = Path("targets.yml")
    capacity_file: Path = Path("capacity.yml")
    """Thresholds, limits and prices of resources that override the defaults; optional."""

    runbooks: Path = Path("runbooks")
    notify_config: Path = Path("notify.yml")
    """Routes of notifications that do not page; without the file none are sent."""
    readiness_config: Path = Path("readiness.yml")
    """The plan from paper to live; without the file the shipped plan is used."""

    prometheus_config: Path = Path("prometheus")
    alertmanager_config: Path = Path("alertmanager")

    prometheus_url: str = ""
    """URL of Prometheus, such as https://prometheus.example.com; empty: the address in
    targets.yml."""

    prometheus_user: str = "trading-ops"
    """User for HTTP basic authentication."""

    prometheus_password_file: Path | None = None
    """File with the password; None: `prometheus_password` in secrets, or no password if that file
    is missing."""

    prometheus_ca_file: Path | None = None
    """CA of Prometheus' certificate; None: `ca.crt` in `tls`, else the system's CAs."""

    reports_prometheus_url: str = ""
    """URL of the Prometheus with long history that reports use, for example a receiver of remote
    writes; empty: the same Prometheus."""

    reports_prometheus_user: str = "trading-ops"
    reports_prometheus_password_file: Path | None = None

    alertmanager_url: str = ""
    """URL of Alertmanager; for a cluster, of every member, separated by commas."""

    alertmanager_user: str = "trading-ops"
    alertmanager_password_file: Path | None = None
    alertmanager_ca_file: Path | None = None

    monitoring_passwords: bool = False
    """True: `trading-ops up` protects Prometheus and Alertmanager with generated passwords."""

    tls_folder: Path | None = None
    """Folder of `ca.crt` and of NAME.crt and NAME.key of each local process; None: `tls` in
    `var`."""

    reconciler: str = ""
    """Name of this reconciler in targets.yml; empty: the first entry of its kind."""

    database: str = ""
    """URL of a PostgreSQL database, without the password; empty: SQLite in `var`."""

    observe_only: bool = False
    """True: decide and record, but do not act. The local stack sets it to false."""

    two_person_approval: bool = False
    """True: a manual one-shot action needs another operator's approval."""

    freeze_on_spent_budget: bool = True
    """True: no rolling restart or update of a bot whose error budget for availability is exhausted,
    unless overridden."""

    release_at_bot: bool = False
    """True: an operator's hold may be released directly at the bot, with its agent's token.
    False: it is placed again."""

    listener_users: str = ""
    """Local users, besides root and our own, whose processes may be sent tokens: names or ids,
    separated by commas; `any`: do not check."""

    systemd_bus: str = ""
    """D-Bus address of systemd for the node, such as `unix:path=/run/user/1000/bus`; empty: the
    system bus."""

    docker_host: str = ""
    """Docker API for the node: `unix:///path`, or the URL of a filtering proxy; empty: Docker's
    default."""

    kubernetes_url: str = ""
    """URL of the Kubernetes API for the node; empty: that of the cluster it runs in."""

    kubernetes_account: str = ""
    """Folder with `token` and `ca.crt` of the node's service account; empty: where Kubernetes
    mounts it."""

    dead_man_switch: str = ""
    """External URL of a dead man's switch that Alertmanager calls every minute; empty: none."""

    poll_interval_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 15.0
    """Interval at which the reconciler polls Prometheus and Alertmanager."""

    alertmanager_receivers: str = "reconciler,trading-ops"
    """Alertmanager receivers whose alerts are handled, separated by commas."""

    silence_max_seconds: Annotated[float, msgspec.Meta(gt=0)] = 86400.0
    """A manual silence of our alerts that lasts longer fires TradingOpsSilenceWide."""

    token_file: Path | None = None
    """File with the token that the command line sends to the reconciler; None:
    `operator_token`."""

    console_hosts: str = ""
    """Additional host names of the console, separated by commas, such as those of a proxy.
    Loopback addresses and `localhost` always work."""

    console_idle_seconds: Annotated[float, msgspec.Meta(ge=60, le=43200)] = 1800.0
    """Idle timeout of a console session."""

    grafana_url: str = ""
    """URL of Grafana for the console's links to dashboards; empty: no links."""

    agent_unresponsive_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 3.0
    """A bot whose agent does not answer for this long is halted; after twice that, a process that
    is alive but unresponsive is stopped. 0: never."""

    storm_targets: Annotated[int, msgspec.Meta(ge=0)] = 3
    """Circuit breaker: number of targets that may fail at once before automation waits. A target
    fails while it has an open incident that is critical and auto-remediated."""

    storm_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    """Or this share of the registered bots, if larger."""

    storm_quiet_seconds: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 120.0
    """Time below that limit before automation continues."""

    unconfirmed_incidents: Annotated[int, msgspec.Meta(ge=0)] = 200
    """Open incidents that never fired in Prometheus, above which notifications open no more.
    Otherwise anyone who can post to Alertmanager could fill the database. A poll finds at once the
    alerts that do fire."""

    healthy_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """Share of the other targets of a kind that must be healthy before automation acts on one."""

    unhealthy_targets: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Number of them that may be unhealthy regardless of the share."""

    attempts_total: Annotated[int, msgspec.Meta(ge=0)] = 20
    """Limit of attempts on all targets together within `attempts_window_seconds`."""

    attempts_share: Annotated[float, msgspec.Meta(ge=0)] = 0.1
    """Or this many per registered bot, if larger."""

    attempts_window_seconds: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 600.0
    """Window in which attempts are counted."""

    notifications_kept_days: Annotated[float, msgspec.Meta(ge=1, le=36600)] = 7.0
    """Retention of processed webhook bodies."""

    incidents_kept_days: Annotated[float, msgspec.Meta(ge=7, le=36600)] = 400.0
    """Retention of closed incidents with their attempts, and of ended holds, pauses, maintenance
    windows and quarantined notifications."""

    messages_kept_days: Annotated[float, msgspec.Meta(ge=1, le=36600)] = 30.0
    """Retention of delivered and discarded messages."""

    bot_events_kept_days: Annotated[float, msgspec.Meta(ge=1, le=36600)] = 400.0
    """Retention of events that bots reported, such as trades."""

    bot_events_kept_rows: Annotated[int, msgspec.Meta(ge=1_000)] = 1_000_000
    """Events kept of each bot; the oldest beyond are removed."""

    bot_events_per_minute: Annotated[float, msgspec.Meta(ge=1, le=100_000)] = 600.0
    """Rate at which the events of one bot are stored after a burst of 100,000; more are dropped."""

    events_kept_days: Annotated[float, msgspec.Meta(ge=7, le=36600)] = 400.0
    """Retention of the audit log. Older events are removed behind a signed checkpoint."""

    archive_folder: str = ""
    """Where retention stores what it removes; empty: `archive` in `var`."""

    vulnerability_database: str = "https://api.osv.dev/v1/query"
    """URL of the OSV API that pip-audit queries for the installed packages; empty: none."""

    backup_repository: str = ""
    """Where backups are stored: a folder, or `restic:` and a restic repository, such as
    `restic:sftp:user@host:/backups`; empty: the folder `backups` next to `var`, not encrypted."""

    backup_password_file: Path | None = None
    """File with the password of a restic repository; None: `backup_password` in secrets."""

    backup_interval_seconds: Annotated[float, msgspec.Meta(ge=0, le=31 * DAY_SECONDS)] = 300.0
    """Interval between backups; 0: no backups, and no alert expects one."""

    backup_folders: dict[str, Path] = {}
    """Folders outside of `var` to back up as well: the records of bots, by the bot's name."""

    backup_database: str = ""
    """URL of the PostgreSQL server to back up, with a role that has REPLICATION; empty: the one in
    `database`, if it is PostgreSQL."""

    backup_pgbackrest: Path | None = None
    """Configuration file of pgBackRest, which then backs up PostgreSQL; None: `pg_basebackup` and
    `pg_receivewal` are used."""

    backup_keep_last: Annotated[int, msgspec.Meta(ge=1)] = 12
    """Number of newest backups to keep."""

    backup_keep_hourly: Annotated[int, msgspec.Meta(ge=0)] = 24
    """Also keep the newest backup of each of the last N hours that have one."""

    backup_keep_daily: Annotated[int, msgspec.Meta(ge=0)] = 14
    """Also keep the newest backup of each of the last N days that have one."""

    backup_keep_weekly: Annotated[int, msgspec.Meta(ge=0)] = 8
    """Also keep the newest backup of each of the last N weeks that have one."""

    backup_keep_monthly: Annotated[int, msgspec.Meta(ge=0)] = 12
    """Also keep the newest backup of each of the last N months that have one."""

    log_dir: Path | None = None
    """Folder of log files; None: `log` in `var` for the stack, and standard error for a process
    started on its own."""

    log_name: str = ""
    """Name of the log file, without `.log`; empty: the name of the process."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"

    log_file_megabytes: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 10.0
    """Size at which a log file is rotated."""

    log_file_hours: Annotated[float, msgspec.Meta(gt=0, le=8784)] = 24.0
    """Age at which it is rotated, counted from midnight UTC."""

    log_kept_days: Annotated[float, msgspec.Meta(gt=0, le=3660)] = 30.0
    """Retention of rotated files, which are compressed."""

    log_folder_megabytes: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] = 200.0
    """Limit of the whole folder; the oldest rotated files are removed first."""

    @property
    def secrets(self) -> Path:
        """Folder of generated tokens and keys, one per file, mode 0600."""
        return self.var / "secrets"

    @property
    def tls(self) -> Path:
        """Folder of certificates and their keys."""
        return self.tls_folder or self.var / "tls"

    @property
    def prometheus_access(self) -> MonitoringAccess:
        """Return the connection settings of Prometheus."""
        return MonitoringAccess(
            "prometheus_url",
            self.prometheus_url,
            self.prometheus_user,
            self.prometheus_password_file or self._present("prometheus_password"),
            self.prometheus_ca_file,
        )

    @property
    def reports_prometheus_access(self) -> MonitoringAccess:
        """Return the connection settings of the Prometheus for reports."""
        if not self.reports_prometheus_url:
            return self.prometheus_access
        return MonitoringAccess(
            "reports_prometheus_url",
            self.reports_prometheus_url,
            self.reports_prometheus_user,
            self.reports_prometheus_password_file,
            self.prometheus_ca_file,
        )

    @property
    def alertmanager_access(self) -> MonitoringAccess:
        """Return the connection settings of each Alertmanager."""
        return MonitoringAccess(
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
        """Where this process logs to, and its rotation and retention."""
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
        """The file of audit anchors: the newest event of each minute."""
        return self.var / "audit" / "anchors"

    @property
    def archive(self) -> Path:
        """The folder of removed events, incidents and orders."""
        return self.root / self.archive_folder if self.archive_folder else self.var / "archive"

    @property
    def last_good_targets(self) -> Path:
        """The last valid copy of targets.yml."""
        return self.var / "supervisor" / "targets.yml"

    @property
    def journal(self) -> Path:
        """The file that stores holds while the database is unavailable."""
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
        """Temporary folder of backups."""
        return self.var / "backup"

    @property
    def backup_records(self) -> Path:
        """Folder of the metadata of each backup."""
        return self.var / "backup" / "records"

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the reconciler's database, with the password from its file, if any.

        Raises:
            ConfigError: the file cannot be read, is empty, or others can read it.
        """
        if not self.database:
            return f"sqlite:///{self.var / 'reconciler' / 'reconciler.db'}"
        return url_with_password(self.database, self.secrets / DATABASE_PASSWORD)

    @property
    def backup_database_url(self) -> str | None:
        """Return the SQLAlchemy URL of the PostgreSQL server to back up, or None.

        Raises:
            ConfigError: the file of its password cannot be read, is empty, or others can read it.
        """
        if self.backup_database:
            return url_with_password(self.backup_database, self.secrets / BACKUP_DATABASE_PASSWORD)
        is_file = not self.database or self.database.startswith("sqlite:")
        return None if is_file else self.database_url

    @property
    def command_token(self) -> str:
        """Return the token of the command line for the reconciler.

        Raises:
            ConfigError: its file cannot be read, or is empty.
        """
        if self.token_file is None:
            return self.secret("operator_token")
        return known(first_line(self.token_file, "write a token of `trading-ops token add` to it"))

    def secret(self, name: str) -> str:
        """Return the secret to send: the first line of its file.

        Raises:
            ConfigError: the file is missing, empty or unreadable.
        """
        return self.accepted_secrets(name)[0]

    def freqtrade_credentials_file(self, name: str) -> Path:
        """Return the file with `user:password` of a Freqtrade."""
        return self.secrets / f"freqtrade_{name}"

    def freqtrade_credentials(self, name: str) -> str:
        """Return `user:password` of a Freqtrade: the one line of its file.

        Raises:
            ConfigError: it is missing or invalid, or others can read it.
        """
        return credentials(self.freqtrade_credentials_file(name))

    def accepted_secrets(self, name: str) -> tuple[str, ...]:
        """Return the accepted secrets: one per line, two during a rotation.

        Raises:
            ConfigError: there is none, the file cannot be read, or every user can open it.
        """
        return secrets_of(self.secrets / name)

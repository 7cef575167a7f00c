"""Targets: what is monitored and acted on. Actions run on registered targets only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from trading_ops.errors import NothingSelected


class Kind(StrEnum):
    """Kind of a target; determines its scrape job."""

    BOT = "bot"
    """One with our agent inside."""

    FREQTRADE = "freqtrade"
    """A bot that the exporter reads over its own REST API."""

    BARE_BOT = "bare_bot"
    """A bot that exports metrics but has no agent and takes no commands."""

    VENUE = "venue"
    EXPORTER = "exporter"
    RECONCILER = "reconciler"
    SUPERVISOR = "supervisor"
    NODE = "node"
    """The process that manages the services of a host."""

    PROMETHEUS = "prometheus"
    ALERTMANAGER = "alertmanager"
    MAIL = "mail"


OWN_BOTS = frozenset({Kind.BOT})
"""Bots with our agent and a service manager."""

BOTS = frozenset({Kind.BOT, Kind.FREQTRADE})
"""Kinds that can be halted."""

NAMED_BOTS = BOTS | {Kind.BARE_BOT}
"""Kinds that an alert's label `bot` may name."""


OWN_PYTHON = "python"
"""As the program of `restore_test`: the interpreter of this installation."""

RESTORED_VAR = "{var}"
"""In an argument of `restore_test`: the restored folder `var`."""


class Manager(StrEnum):
    """Service manager of a target's process."""

    SUPERVISOR = "supervisor"
    """The lab's own."""

    SYSTEMD = "systemd"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"
    """Workloads of one pod."""

    COMMAND = "command"
    """Fixed commands, for other init systems."""


class Restarts(StrEnum):
    """Who restarts a crashed process: one of the two, never both."""

    MANAGER = "manager"
    """Its service manager; the reconciler acts if that does not help or the process is stuck."""

    RECONCILER = "reconciler"
    """The reconciler; the service manager only executes the restart."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """Service manager of a target's process, and who restarts it."""

    manager: Manager
    unit: str
    """Name of the process at its service manager."""

    restarts: Restarts = Restarts.MANAGER
    node: str | None = None
    """The target of kind node that manages it; None for the local stack's supervisor."""

    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For the manager `command`: an argv for each verb."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One entry of `targets.yml`."""

    name: str
    """Unique; an alert's label must equal it to select this target."""

    kind: Kind
    address: str
    """`host:port` where it answers; for a bot, its agent; for a Freqtrade, its REST API."""

    tls: bool = False
    """Whether it uses TLS; required for an address that other machines reach."""

    venue: str | None = None
    """For a bot: the name of its venue. For a Freqtrade, any name."""

    faults: str | None = None
    """For the paper venue: `host:port` of its fault port."""

    probe: bool = True
    """For a venue: whether it has Kraken's public API, with which the exporter probes it."""

    token_file: str | None = None
    """For a bot: the file with its agent's own token; None: the default."""

    service: Service | None = None
    restore_test: tuple[str, ...] = ()
    """For a bot: an argv that starts it in observe mode on restored data; empty: none."""

    database_file: str | None = None
    """For a bot: the file with the URL of its PostgreSQL database, which jobs maintain."""

    observe_only: bool = False
    """Automation does not act on it; decisions are only recorded."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Further labels for everything that Prometheus scrapes from it."""

    @property
    def host(self) -> str:
        """Its label `host`, by default the node that manages its process; empty: not known."""
        node = self.name if self.kind is Kind.NODE else self.service and self.service.node
        return self.labels.get("host") or node or ""

    @property
    def team(self) -> str:
        """Its label `team`; empty: none."""
        return self.labels.get("team", "")

    @property
    def url(self) -> str:
        """Return its base URL."""
        host, _, port = self.address.rpartition(":")
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"{'https' if self.tls else 'http'}://{host}:{port}"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Part of a fleet: of a team, on a host, or both."""

    team: str | None = None
    host: str | None = None

    def __bool__(self) -> bool:
        """Whether it selects only a part."""
        return self.team is not None or self.host is not None

    def __str__(self) -> str:
        """Return it for an error message."""
        given = {"of the team": self.team, "on the host": self.host}
        return " ".join(f"{what} {name!r}" for what, name in given.items() if name is not None)

    def has(self, target: Target) -> bool:
        """Whether a target is part of it."""
        return self.team in {None, target.team} and self.host in {None, target.host}


@dataclass(frozen=True)
class Registry:
    """All targets, in the order of the file."""

    targets: tuple[Target, ...]

    def __iter__(self) -> Iterator[Target]:
        """Iterate over the targets in the order of the file."""
        return iter(self.targets)

    def of_kind(self, kind: Kind) -> tuple[Target, ...]:
        """Return the targets of one kind."""
        return tuple(target for target in self.targets if target.kind is kind)

    @property
    def bots(self) -> tuple[Target, ...]:
        """Return all targets that trade and can be halted."""
        return tuple(target for target in self.targets if target.kind in BOTS)

    def one(self, kind: Kind) -> Target:
        """Return the first target of a kind; `parse_targets` ensures that there is one."""
        return self.of_kind(kind)[0]

    def select(self, selection: Selection) -> tuple[Target, ...]:
        """Return the targets of a team, on a host, or both.

        Raises:
            NothingSelected: there are none.
        """
        found = tuple(target for target in self.targets if selection.has(target))
        if not found:
            teams = ", ".join(sorted({target.team for target in self.targets} - {""})) or "none"
            hosts = ", ".join(sorted({target.host for target in self.targets} - {""})) or "none"
            raise NothingSelected(
                f"targets.yml has no target {selection}. Teams: {teams}. Hosts: {hosts}. Fix: set "
                "`labels: {team: …, host: …}` of the target"
            )
        return found

    def find(self, name: str) -> Target | None:
        """Return the target with exactly this name, or None."""
        return next((target for target in self.targets if target.name == name), None)

"""What is watched and acted on. Nothing acts on what is not registered as a target."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What a target is; it decides which scrape job watches it."""

    BOT = "bot"
    """One with our agent inside."""

    FREQTRADE = "freqtrade"
    """A bot that the exporter reads over its own REST API."""

    BARE_BOT = "bare_bot"
    """A bot that serves its metrics and has no agent: there is nothing to command in it."""

    VENUE = "venue"
    EXPORTER = "exporter"
    RECONCILER = "reconciler"
    SUPERVISOR = "supervisor"
    NODE = "node"
    """The process on a host that carries out orders about its services."""

    PROMETHEUS = "prometheus"
    ALERTMANAGER = "alertmanager"
    MAIL = "mail"


OWN_BOTS = frozenset({Kind.BOT})
"""Those with our agent inside, and a service manager that we may ask."""

BOTS = frozenset({Kind.BOT, Kind.FREQTRADE})
"""What a person may halt."""

NAMED_BOTS = BOTS | {Kind.BARE_BOT}
"""What the label `bot` of an alert may name."""


class Manager(StrEnum):
    """What runs a target's process."""

    SUPERVISOR = "supervisor"
    """The lab's own."""

    SYSTEMD = "systemd"
    DOCKER = "docker"
    COMMAND = "command"
    """Fixed commands, for other init systems."""


class Restarts(StrEnum):
    """Who restarts a process that died: one of the two, never both."""

    MANAGER = "manager"
    """Its service manager; the reconciler acts when that does not help or the process is stuck."""

    RECONCILER = "reconciler"
    """The reconciler; the service manager only carries the restart out."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """Which service manager runs a target's process, and who orders restarts."""

    manager: Manager
    unit: str
    """The name of the process at its service manager."""

    restarts: Restarts = Restarts.MANAGER
    node: str | None = None
    """The target of kind node that carries out orders about it; None for the lab's supervisor."""

    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For the manager `command`: an argv for each verb."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One entry of `targets.yml`."""

    name: str
    """Unique; what an alert's label must equal, exactly, to pick this target."""

    kind: Kind
    address: str
    """`host:port` where it answers; for a bot, its agent; for a Freqtrade, its REST API."""

    tls: bool = False
    """Whether it answers over TLS; an address that other machines reach has no other way."""

    venue: str | None = None
    """For a bot: the name of the venue that it trades on. For a Freqtrade any name will do."""

    faults: str | None = None
    """For the paper venue: `host:port` of its fault port."""

    token_file: str | None = None
    """For a bot: the file with its agent's token, which is no other bot's; None: the default."""

    service: Service | None = None
    observe_only: bool = False
    """Nothing is done to it automatically; what would have been done is recorded."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Further labels for everything that Prometheus scrapes from it."""

    @property
    def url(self) -> str:
        """Return its address as the beginning of a URL."""
        host, _, port = self.address.rpartition(":")
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"{'https' if self.tls else 'http'}://{host}:{port}"


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
        """Return everything that trades and can be halted, whoever stands between it and us."""
        return tuple(target for target in self.targets if target.kind in BOTS)

    def one(self, kind: Kind) -> Target:
        """Return the first target of a kind; `parse_targets` sees to it that there is one."""
        return self.of_kind(kind)[0]

    def find(self, name: str) -> Target | None:
        """Return the target with exactly this name, or None: hostile values find nothing."""
        return next((target for target in self.targets if target.name == name), None)

"""`targets.yml` → `domain.Registry`: the registry of targets.

Prometheus' discovery files, the agent clients and the service managers are derived from it. An
unknown key, a duplicate name or address, or a remotely reachable address without TLS is an error.
"""

import functools
import ipaddress
import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from trading_ops.config.files import load_yaml, problem_of
from trading_ops.domain.target import (
    NAMED_BOTS,
    OWN_PYTHON,
    RESTORED_VAR,
    Kind,
    Manager,
    Registry,
    Restarts,
    Service,
    Target,
)
from trading_ops.errors import ConfigError

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,62}")
HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
RESERVED_LABELS = frozenset({"job", "instance", "bot", "venue", "component", "symbol", "exporter"})
AT_MOST_ONE = (Kind.SUPERVISOR, Kind.MAIL)
SEE = "see docs/deployment.md, “targets.yml”"
DNS = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
UNITS = {
    # It is used in file names.
    Manager.SUPERVISOR: (NAME, "lower-case letters, digits, - and _"),
    Manager.SYSTEMD: (re.compile(r"[A-Za-z0-9:_.@\\-]{1,200}\.service"), "a name like bot.service"),
    Manager.DOCKER: (re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"), "the container's name"),
    Manager.KUBERNETES: (
        re.compile(rf"{DNS}/(statefulset|deployment)/{DNS}"),
        "NAMESPACE/statefulset/NAME or NAMESPACE/deployment/NAME",
    ),
    Manager.COMMAND: (NAME, "lower-case letters, digits, - and _"),
}
"""Allowed unit names of each service manager, and their description."""

OTHERS = ", ".join(unit for unit in UNITS if unit is not Manager.SUPERVISOR)

VERBS = frozenset({"status", "restart", "start", "stop"})
NEEDED_VERBS = ("status", "restart")

WITHOUT_TLS = (Kind.VENUE, Kind.MAIL, Kind.SUPERVISOR)
"""Kinds without TLS, on this machine only."""

AT_LEAST_ONE = (Kind.RECONCILER, Kind.ALERTMANAGER)
"""Kinds that may have several entries: reconcilers sharing PostgreSQL, an Alertmanager cluster."""


class ServiceEntry(msgspec.Struct, forbid_unknown_fields=True):
    """The `service` key of one entry."""

    manager: Manager
    unit: str
    restarts: Restarts = Restarts.MANAGER
    node: str | None = None
    commands: dict[str, list[str]] = {}


class TargetEntry(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of the file."""

    name: str
    kind: Kind
    address: str
    venue: str | None = None
    tls: bool = False
    faults: str | None = None
    probe: bool = True
    token_file: str | None = None
    service: ServiceEntry | None = None
    restore_test: list[str] = []
    database_file: str | None = None
    observe_only: bool | None = None
    labels: dict[str, str] = {}


class TargetsFile(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file."""

    version: int
    targets: list[TargetEntry]


def load_targets(path: Path) -> Registry:
    """Read and check the registry.

    Raises:
        ConfigError: the file is missing, is not YAML, or breaks a rule.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            str(path),
            "",
            error.strerror or "unreadable",
            "create it, or name another file with TRADING_OPS_TARGETS_FILE",
        ) from error
    except UnicodeError as error:
        raise ConfigError(str(path), "", "not UTF-8", "save it as UTF-8") from error
    return parse_targets(text, where=str(path))


def parse_targets(text: str, *, where: str) -> Registry:
    """Parse the text of a registry; `where` names it in errors."""
    try:
        raw = load_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(where, "", problem_of(error), "correct the syntax") from error
    try:
        file = msgspec.convert(raw, TargetsFile)
    except msgspec.ValidationError as error:
        for number, entry in enumerate(_entries(raw), 1):
            _check_entry(entry, number, where)
        raise ConfigError(where, "", str(error), SEE) from error
    if file.version != 1:
        raise ConfigError(
            where, "version", f"unsupported version {file.version}", "write `version: 1`"
        )
    registry = Registry(tuple(_target(entry) for entry in file.targets))
    _check(registry, where)
    return registry


def _entries(raw: Any) -> list[Any]:
    entries = raw.get("targets") if isinstance(raw, dict) else None
    return entries if isinstance(entries, list) else []


def _check_entry(entry: Any, number: int, where: str) -> None:
    """Validate one entry; errors name it."""
    try:
        msgspec.convert(entry, TargetEntry)
    except msgspec.ValidationError as error:
        name = entry.get("name", number) if isinstance(entry, dict) else number
        of_kind = str(error).endswith("`$.kind`")
        fix = f"one of {', '.join(Kind)}" if of_kind else SEE
        raise ConfigError(where, f"targets[{name}]", str(error), fix) from error


def _target(entry: TargetEntry) -> Target:
    service = entry.service
    return Target(
        name=entry.name,
        kind=entry.kind,
        address=entry.address,
        venue=entry.venue,
        tls=entry.tls,
        faults=entry.faults,
        probe=entry.probe,
        token_file=entry.token_file,
        service=_service(service) if service else None,
        restore_test=tuple(entry.restore_test),
        database_file=entry.database_file,
        observe_only=_observes_only(entry),
        labels=entry.labels,
    )


def _service(entry: ServiceEntry) -> Service:
    return Service(
        manager=entry.manager,
        unit=entry.unit,
        restarts=entry.restarts,
        node=entry.node,
        commands={verb: tuple(argv) for verb, argv in entry.commands.items()},
    )


def _observes_only(entry: TargetEntry) -> bool:
    """Return whether automation must not act on the target.

    The default for a Freqtrade is observe-only: it may trade real money. Operators' halts reach it
    and stay in force either way.
    """
    if entry.kind is Kind.BARE_BOT:
        return True  # it takes no commands
    if entry.observe_only is None:
        return entry.kind is Kind.FREQTRADE
    return entry.observe_only


def _check(registry: Registry, where: str) -> None:
    names: set[str] = set()
    addresses: dict[str, str] = {}
    files: dict[str, str] = {}
    for target in registry:
        key = f"targets[{target.name}]"
        if not NAME.fullmatch(target.name):
            raise ConfigError(where, key, "invalid name", "use lower-case letters, digits, - and _")
        if target.name in names:
            raise ConfigError(where, key, "duplicate name", "rename one of the two")
        names.add(target.name)
        if target.service:
            _check_service(registry, target.service, where, f"{key}.service")
        for address in filter(None, (target.address, target.faults)):
            split_address(address, where=where, key=key)
            if address in addresses:
                raise ConfigError(
                    where,
                    key,
                    f"{address} is already used by {addresses[address]}",
                    "choose a free port",
                )
            addresses[address] = target.name
        _check_reach(target, where, key)
        if target.token_file is not None:
            _check_token_file(target, files, where, f"{key}.token_file")
        _check_care(target, where, key)
        _check_relations(registry, target, where, key)
    _check_kinds(registry, where)


def _check_token_file(target: Target, files: dict[str, str], where: str, key: str) -> None:
    """Each bot has its own token, so that a leaked one cannot command another bot."""
    file = str(target.token_file)
    if target.kind is not Kind.BOT:
        raise ConfigError(
            where, key, f"a target of kind {target.kind} has no agent", "remove `token_file`"
        )
    if not file.strip():
        raise ConfigError(where, key, "it is empty", "name a file, or remove `token_file`")
    if file in files:
        raise ConfigError(
            where, key, f"{file} is already used by {files[file]}", "name another file"
        )
    files[file] = target.name


def _check_restore_test(target: Target, where: str, key: str) -> None:
    program = target.restore_test[0]
    if target.kind not in NAMED_BOTS:
        problem = f"a target of kind {target.kind} is not a bot"
        raise ConfigError(where, key, problem, "remove `restore_test`")
    if program != OWN_PYTHON and not program.startswith("/"):
        fix = f"name it by its absolute path, or write `{OWN_PYTHON}` for that of this installation"
        raise ConfigError(where, key, f"{program!r} is not a program", fix)
    if not any(RESTORED_VAR in argument for argument in target.restore_test[1:]):
        problem = f"no argument contains `{RESTORED_VAR}`, so the bot would start on live data"
        fix = f"pass the bot its files below `{RESTORED_VAR}`, the restored folder `var`"
        raise ConfigError(where, key, problem, fix)


def _check_care(target: Target, where: str, key: str) -> None:
    if target.restore_test:
        _check_restore_test(target, where, f"{key}.restore_test")
    if target.database_file is not None:
        _check_database_file(target, where, f"{key}.database_file")


def _check_database_file(target: Target, where: str, key: str) -> None:
    if target.kind not in NAMED_BOTS:
        problem = f"a target of kind {target.kind} is not a bot"
        raise ConfigError(where, key, problem, "remove `database_file`")
    if not str(target.database_file).strip():
        fix = "name a file with postgresql://OWNER:PASSWORD@HOST/DATABASE, or remove it"
        raise ConfigError(where, key, "it is empty", fix)


def _check_service(registry: Registry, service: Service, where: str, key: str) -> None:
    pattern, form = UNITS[service.manager]
    if not pattern.fullmatch(service.unit):
        problem = f"{service.unit!r} is not a unit of {service.manager}"
        raise ConfigError(where, f"{key}.unit", problem, f"use {form}")
    if service.manager is Manager.SUPERVISOR:
        if not registry.of_kind(Kind.SUPERVISOR):
            problem = "no target of kind supervisor"
            fix = f"add one, or name another manager: {OTHERS}"
            raise ConfigError(where, f"{key}.manager", problem, fix)
        if service.node is not None:
            problem = "the supervisor does not run on a node"
            raise ConfigError(where, f"{key}.node", problem, "remove `node`")
    else:
        _check_node(registry, service, where, key)
    if service.manager is Manager.KUBERNETES and service.restarts is not Restarts.MANAGER:
        problem = "Kubernetes always restarts a container that ended"
        raise ConfigError(where, f"{key}.restarts", problem, "write `restarts: manager`")
    _check_commands(service, where, f"{key}.commands")


def _check_node(registry: Registry, service: Service, where: str, key: str) -> None:
    node = registry.find(service.node or "")
    if node is None or node.kind is not Kind.NODE:
        problem = f"{service.node!r} is not a target of kind node"
        fix = "add a target of kind node for the host, and name it here"
        raise ConfigError(where, f"{key}.node", problem, fix)


def _check_commands(service: Service, where: str, key: str) -> None:
    if service.manager is not Manager.COMMAND:
        if service.commands:
            problem = f"{service.manager} takes no commands"
            raise ConfigError(where, key, problem, "remove `commands`")
        return
    for verb in NEEDED_VERBS:
        if not service.commands.get(verb):
            fix = f"write `{verb}: [/path/to/program, argument]`"
            raise ConfigError(where, key, f"missing command for {verb}", fix)
    for verb, argv in service.commands.items():
        if verb not in VERBS:
            raise ConfigError(where, key, f"unknown verb {verb!r}", f"one of {sorted(VERBS)}")
        if not argv or not argv[0].startswith("/"):
            problem = f"the command for {verb} must start with an absolute path"
            raise ConfigError(where, key, problem, "name the program by its absolute path")


def _check_kinds(registry: Registry, where: str) -> None:
    for kind in AT_MOST_ONE:
        if len(registry.of_kind(kind)) > 1:
            raise ConfigError(where, "targets", f"more than one target of kind {kind}", "keep one")
    if len(registry.of_kind(Kind.PROMETHEUS)) != 1:
        problem = "expected exactly one target of kind prometheus"
        raise ConfigError(where, "targets", problem, "add or remove one")
    for kind in AT_LEAST_ONE:
        if not registry.of_kind(kind):
            raise ConfigError(where, "targets", f"no target of kind {kind}", "add one")


def _check_relations(registry: Registry, target: Target, where: str, key: str) -> None:
    if target.kind is Kind.BOT:
        _check_venue(registry, target, where, key)
    if target.kind is Kind.FREQTRADE:
        _check_freqtrade(registry, target, where, key)
    if target.kind is Kind.BARE_BOT:
        _check_not_ours(target, where, key, "bot without an agent")
    for label in target.labels:
        # A leading `__` is Prometheus' own: `__scheme__` or `__param_x` would redirect the scrape.
        if not LABEL.fullmatch(label) or label.startswith("__") or label in RESERVED_LABELS:
            raise ConfigError(
                where, f"{key}.labels", f"reserved label {label!r}", "choose another name"
            )


def _check_venue(registry: Registry, target: Target, where: str, key: str) -> None:
    """Check a bot's venue. The supervisor runs only the paper bot, on a paper venue."""
    supervised = target.service is not None and target.service.manager is Manager.SUPERVISOR
    venue = registry.find(target.venue or "")
    if (venue is not None and venue.kind is not Kind.VENUE) or (supervised and venue is None):
        problem = f"unknown venue {target.venue!r}"
        raise ConfigError(where, f"{key}.venue", problem, "use the name of a target of kind venue")
    if supervised and venue is not None and venue.faults is None:
        problem = f"the supervisor runs only the paper bot, but {target.venue} is not a paper venue"
        fix = f"set the manager that runs this bot: {OTHERS}"
        raise ConfigError(where, f"{key}.service", problem, fix)
    _check_venue_name(target, where, key)


def _check_venue_name(target: Target, where: str, key: str) -> None:
    if not NAME.fullmatch(target.venue or ""):
        problem = f"invalid venue name {target.venue!r}"
        fix = "use the name of the exchange, such as `kraken`"
        raise ConfigError(where, f"{key}.venue", problem, fix)


def _check_freqtrade(registry: Registry, target: Target, where: str, key: str) -> None:
    _check_not_ours(target, where, key, "Freqtrade")
    if not registry.of_kind(Kind.EXPORTER):
        raise ConfigError(
            where, key, "no exporter for this Freqtrade", "add a target of kind exporter"
        )


def _check_not_ours(target: Target, where: str, key: str, entry: str) -> None:
    """Check a bot that is not run by us: any venue, and not by the supervisor."""
    _check_venue_name(target, where, key)
    if target.service is not None:
        raise ConfigError(
            where, f"{key}.service", f"the supervisor cannot run {entry}", "remove `service`"
        )


def _check_reach(target: Target, where: str, key: str) -> None:
    """Refuse remotely reachable addresses without TLS, and TLS on kinds that lack it."""
    if target.kind in WITHOUT_TLS and target.tls:
        problem = f"a target of kind {target.kind} does not support TLS"
        raise ConfigError(where, f"{key}.tls", problem, "remove `tls`")
    if target.tls and target.service and target.service.manager is Manager.SUPERVISOR:
        problem = "the local stack's supervisor starts its processes without TLS"
        raise ConfigError(where, f"{key}.tls", problem, "remove `tls`, or name another manager")
    for address in filter(None, (target.address, target.faults)):
        host, _ = split_address(address)
        if is_loopback(host) or (target.tls and address == target.address):
            continue
        fix = "write it as 127.0.0.1:PORT"
        if target.kind not in WITHOUT_TLS:
            fix += ", or add `tls: true` and its certificate (`trading-ops tls init`)"
        problem = f"{address} is reachable from other machines without TLS"
        raise ConfigError(where, f"{key}.address", problem, fix)


def is_loopback(host: str) -> bool:
    """Whether it is a loopback IP address; a host name never is."""
    ip = _ip(host)
    return ip is not None and ip.is_loopback


def split_address(address: str, *, where: str = "", key: str = "") -> tuple[str, int]:
    """Split `host:port`; an IPv6 address may be in brackets.

    Raises:
        ConfigError: it is not `host:port` of a single host.
    """
    fix = "write it as HOST:PORT, such as 127.0.0.1:PORT"
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    ip = _ip(host)
    if not port.isdecimal() or (ip is None and not HOST.fullmatch(host)):
        raise ConfigError(where, key, f"invalid address {address!r}", fix)
    if host == "localhost" or (ip is not None and ip.is_unspecified):
        raise ConfigError(where, key, f"{address} is not a single address", fix)
    if not 0 < int(port) < 65536:  # noqa: PLR2004 - the range of TCP ports
        raise ConfigError(where, key, f"invalid port {port}", fix)
    return host, int(port)


@functools.lru_cache
def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address, None for a host name; most targets share one."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None

"""docker-compose.yml against the repository: commands, paths, ports, names and settings.

test_compose_configs.py reads the files that the containers find; test_compose_live.py starts them.
"""

import importlib.util
import re
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from click import Context

from tests.compose.composed import (
    COMPOSE,
    DOCKERFILE,
    MEMBERS,
    ONCE,
    OURS,
    ROOT,
    SERVICES,
    SRV,
    VAR,
    environment,
    mounts,
    secrets,
    volumes,
)
from trading_ops.cli.main import cli
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Kind, Restarts
from trading_ops_lab.supervisor.processes import processes

REGISTRY = load_targets(ROOT / "docker" / "targets.yml")
SHIPPED = load_targets(ROOT / "targets.yml")
IN_THE_CONTAINER = Settings(root=Path(SRV), var=Path(VAR))
STACK = {plan.unit: plan for plan in processes(IN_THE_CONTAINER, SHIPPED)}
MODULES = {"venue": "venue", "exporter": "exporter", "reconciler": "reconciler", "mail": "mail"}
"""Services that run one of the stack's processes, and the unit that it is there."""


def test_the_registry_is_the_shipped_one_in_which_only_the_bot_is_ours_to_restart() -> None:
    """The same names, addresses and labels; Docker restarts everything else."""
    assert [
        (target.name, target.kind, target.address, target.faults, target.venue, target.labels)
        for target in REGISTRY
    ] == [
        (target.name, target.kind, target.address, target.faults, target.venue, target.labels)
        for target in SHIPPED
    ]
    (bot,) = (target for target in REGISTRY if target.service)
    assert bot.kind is Kind.BOT
    assert bot.service == SHIPPED.one(Kind.BOT).service
    assert bot.service is not None
    assert bot.service.restarts is Restarts.RECONCILER


def test_every_process_of_the_stack_has_a_service() -> None:
    """Of one bot more than one process is in a container, of the others one."""
    units = {unit for unit in STACK if not unit.startswith("bot-")}
    assert units | {"bot", "postgres", "grafana", "net", *ONCE} == set(SERVICES)


@pytest.mark.parametrize(("name", "unit"), MODULES.items())
def test_a_process_is_started_as_the_stack_starts_it(name: str, unit: str) -> None:
    """The same module with the same options; the module can be run."""
    argv = STACK[unit].argv
    python, *rest = SERVICES[name]["command"]
    assert python == "python"
    stacks = list(argv[argv.index("-m") :])
    if "--config" in rest:
        place = rest[-1]
        assert PurePosixPath(place) in mounts(name)
        assert stacks[-1].endswith(f"/{PurePosixPath(place).name}")
        stacks[-1] = place
    assert rest == stacks
    module = importlib.util.find_spec(rest[1])
    assert module is not None
    package = module.submodule_search_locations is not None
    assert not package or importlib.util.find_spec(f"{rest[1]}.__main__")


@pytest.mark.parametrize(
    "name", [name for name in OURS if SERVICES[name].get("command", ["-"])[0] == "trading-ops"]
)
def test_a_command_line_is_one_of_ours(name: str) -> None:
    """Parsed by our own parser, without being run."""
    _, command, *arguments = SERVICES[name]["command"]
    with Context(cli) as context:
        found = cli.get_command(context, command)
        assert found is not None
        found.make_context(command, list(arguments), parent=context)


@pytest.mark.parametrize(
    ("name", "folder", "data", "port"),
    [
        ("prometheus", "/etc/prometheus", "/prometheus", "9090"),
        ("alertmanager", "/etc/alertmanager", "/alertmanager", "9093"),
    ],
)
def test_prometheus_and_alertmanager_are_started_as_the_stack_starts_them(
    name: str, folder: str, data: str, port: str
) -> None:
    """But for their folders, and for the address, which a published port needs."""
    stacks = [
        flag.replace(f"{VAR}/{name}/data", data)
        .replace(f"{VAR}/{name}", folder)
        .replace(f"listen-address=127.0.0.1:{port}", f"listen-address=:{port}")
        for flag in STACK[name].argv[1:]
    ]
    assert set(SERVICES[name]["command"]) == set(stacks)
    assert data in volumes(name)


@pytest.mark.parametrize("name", SERVICES)
def test_who_is_waited_for_exists_and_can_be_waited_for(name: str) -> None:
    """Health where there is a check, an end where there is one; no one waits in a circle."""
    for other, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        elif how["condition"] == "service_completed_successfully":
            assert other in ONCE
        else:
            assert (other, how) == ("net", {"condition": "service_started", "restart": True})
    assert name == "net" or "net" in SERVICES[name]["depends_on"]
    seen, ahead = {name}, list(SERVICES[name].get("depends_on", ()))
    while ahead:
        awaited = ahead.pop()
        assert awaited != name
        if awaited not in seen:
            seen.add(awaited)
            ahead += SERVICES[awaited].get("depends_on", ())


def test_no_one_starts_before_those_that_the_stack_starts_before() -> None:
    """Prometheus last, so that no rule fires on what is only just starting."""
    for unit, plan in STACK.items():
        mine = "bot" if unit.startswith("bot-") else unit
        others = {"bot" if name.startswith("bot-") else name for name in plan.after}
        assert others <= set(SERVICES[mine]["depends_on"])


def test_volumes_are_defined_and_belong_to_one_service() -> None:
    """Two writers in one folder would be two stacks in one `var`."""
    used = [volume for name in SERVICES for volume in volumes(name).values()]
    assert sorted(used) == sorted(COMPOSE["volumes"])


@pytest.mark.parametrize("name", [name for name in OURS if name not in {"net", "mail"}])
def test_settings_are_known_and_the_folders_can_be_written(name: str, tmp_path: Path) -> None:
    """Our own loader reads the container's environment; a misspelt variable is an error."""
    settings = load_settings(tmp_path, environment(name))
    assert str(settings.var) == VAR
    writable = {entry.partition(":")[0] for entry in SERVICES[name]["tmpfs"]}
    assert f"{VAR}/secrets" in writable
    assert name in ONCE or VAR in volumes(name)


@pytest.mark.parametrize("name", ["bot", "reconciler"])
def test_what_our_processes_read_of_the_project_is_mounted(name: str) -> None:
    """At the places where the settings look for it."""
    settings = load_settings(ROOT, {"TRADING_OPS_VAR": VAR})
    wanted = [settings.targets_file, settings.runbooks]
    if name == "bot":  # `up` places them out, anyone who uses them
        wanted += [settings.prometheus_config, settings.alertmanager_config]
    found = mounts(name)
    for path in wanted:
        target = PurePosixPath(SRV) / path.relative_to(ROOT).as_posix()
        assert target in found
    assert found[PurePosixPath(SRV) / "targets.yml"].samefile(ROOT / "docker" / "targets.yml")


@pytest.mark.parametrize("name", [name for name in MEMBERS if "healthcheck" in SERVICES[name]])
def test_a_health_check_asks_the_address_of_the_registry(name: str) -> None:
    """And the page by which the stack reports that the process is ready."""
    test = SERVICES[name]["healthcheck"]["test"]
    assert test[0] == "CMD"
    if name == "postgres":
        assert test[1] == "pg_isready"
        return
    url = next(argument for argument in test if "://" in argument)
    if name == "grafana":
        assert url == "http://127.0.0.1:3000/api/health"
        return
    unit = "bot-alpha" if name == "bot" else name
    asked: Any = STACK[unit].ready
    assert url == (f"smtp://{asked.address}" if name == "mail" else asked.url)
    if getattr(asked, "token_file", None):
        assert test[-1] == str(asked.token_file)
        assert f"/run/secrets/{Path(test[-1]).name}" in secrets(name)


def test_what_the_dockerfile_copies_is_there_and_is_sent_to_the_builder() -> None:
    """An entry that .dockerignore forgets would fail only when the image is built."""
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists()
            assert f"!{source}" in sent
    scripts = {
        argument
        for name in OURS
        for argument in SERVICES[name].get("healthcheck", {}).get("test", [])
    }
    folder = "/usr/local/lib/trading-ops"
    for script in [argument for argument in scripts if argument.startswith(folder)]:
        assert f"docker/{Path(script).name}" in DOCKERFILE
    assert f'ENTRYPOINT ["sh", "{folder}/entrypoint.sh"]' in DOCKERFILE

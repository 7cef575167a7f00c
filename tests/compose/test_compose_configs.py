"""The configurations that docker-compose.yml mounts, and the secrets that they name.

Containers cannot be started by a test. What they would find is: each configuration is put where
the container has it and read by anyone who reads it there.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from tests.compose.composed import (
    ROOT,
    SERVICES,
    SRV,
    VAR,
    environment,
    made_secrets,
    mounts,
    placed,
    read,
    secrets,
)
from tests.rules.configuration import read_yaml, run_tool
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Kind
from trading_ops.exporter import config as exporter
from trading_ops.project.discovery import discovery
from trading_ops_lab.paper.venue import config as venue
from trading_ops_lab.supervisor.configs import process_configs

REGISTRY = load_targets(ROOT / "docker" / "targets.yml")
SHIPPED = load_targets(ROOT / "targets.yml")
IN_THE_CONTAINER = Settings(root=Path(SRV), var=Path(VAR))
CONFIGS = process_configs(IN_THE_CONTAINER, SHIPPED)


def secret_files(value: Any) -> set[str]:
    """Return the names of all files in the folder of secrets that a configuration names."""
    return set(re.findall(rf"{VAR}/secrets/([\w.]+)", str(value)))


@pytest.mark.parametrize(("name", "unit"), [("venue", "venue"), ("mail", "mail")])
def test_a_configuration_is_what_the_stack_would_write(name: str, unit: str) -> None:
    """It is committed so that it can be read; nothing in it is anyone's own idea."""
    config = read(name, SERVICES[name]["command"][-1])
    assert config == CONFIGS[unit]
    assert {f"/run/secrets/{file}" for file in secret_files(config)} == set(secrets(name))


def test_the_venue_reads_its_configuration() -> None:
    """With its own loader."""
    path = mounts("venue")[PurePosixPath(SERVICES["venue"]["command"][-1])]
    assert venue.load_config(path).accounts == ["alpha", "manual"]


def test_the_exporter_reads_its_configuration_and_has_no_part_that_is_not_there() -> None:
    """Other containers' files and processes are not to be seen, so they are not asked for."""
    path = mounts("exporter")[PurePosixPath(SERVICES["exporter"]["command"][-1])]
    config = exporter.load_config(path)
    stacks = CONFIGS["exporter"]
    assert config.address == stacks["address"]
    assert str(config.metrics_token_file) == stacks["metrics_token_file"]
    assert read("exporter", SERVICES["exporter"]["command"][-1])["venues"] == stacks["venues"]
    assert (config.processes, config.sqlite, config.log_files) == ((), (), ())
    names = {
        config.metrics_token_file.name,
        *(database.dsn_file.name for database in config.postgresql),
    }
    assert {f"/run/secrets/{name}" for name in names} == set(secrets("exporter"))


def test_the_bot_has_the_secrets_that_its_configuration_names_and_the_supervisors() -> None:
    """`up` writes that configuration in the container."""
    config = process_configs(IN_THE_CONTAINER, REGISTRY)["bot-alpha"]
    expected = secret_files(config) | {"supervisor_token"}
    assert {f"/run/secrets/{name}" for name in expected} == set(secrets("bot"))


def test_the_reconciler_has_every_secret_of_its_own() -> None:
    """What `app` and the API read by name, and the password of its role."""
    code = (ROOT / "trading_ops" / "app" / "build.py").read_text(encoding="utf-8")
    auth = (ROOT / "trading_ops" / "api" / "auth.py").read_text(encoding="utf-8")
    asked = set(re.findall(r'secrets?\("(\w+)"\)', code)) | set(re.findall(r'"(\w+_token)":', auth))
    asked |= {"agent_token_alpha", "supervisor_token", "database_password"}
    assert {f"/run/secrets/{name}" for name in asked} == set(secrets("reconciler"))


def test_the_database_is_asked_as_the_roles_that_its_first_start_makes() -> None:
    """The reconciler as the one that may not change the schema, the migration as the owner."""
    roles = (ROOT / "docker" / "postgres" / "roles.sql").read_text(encoding="utf-8")
    assert list(mounts("postgres")) == [
        PurePosixPath("/docker-entrypoint-initdb.d/10-roles.sql"),
    ]
    for name, role in (("reconciler", "trading_ops"), ("migrate", "trading_ops_owner")):
        url = environment(name)["TRADING_OPS_DATABASE"]
        assert url == f"postgresql://{role}@127.0.0.1:5432/trading_ops"
        assert f"CREATE ROLE {role} LOGIN" in roles
    assert secrets("migrate") == {"/run/secrets/database_password": "database_owner_password"}
    assert set(re.findall(r"cat (/run/secrets/\w+)", roles)) <= set(secrets("postgres"))
    admin = SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"]
    assert admin in secrets("postgres")


def test_the_grants_are_the_shipped_file_and_are_given_by_the_owner() -> None:
    """As docs/deployment.md has it, between the migration and the reconciler."""
    (target,) = mounts("grants")
    assert mounts("grants")[target].samefile(ROOT / "deploy" / "postgresql" / "grants.sql")
    command = " ".join(SERVICES["grants"]["entrypoint"])
    assert f"--file={target}" in command
    assert "--username=trading_ops_owner" in command
    (secret,) = secrets("grants")
    assert f"$$(cat {secret})" in command
    assert SERVICES["grants"]["image"] == SERVICES["postgres"]["image"]


def test_prometheus_finds_all_it_reads(tmp_path: Path) -> None:
    """promtool is given the folder as the container has it, with the committed file."""
    place = placed("prometheus", tmp_path, "/etc/prometheus", made_secrets(tmp_path))
    output = run_tool("promtool", "check", "config", place / "prometheus.yml").stdout
    assert "WARNING" not in output
    config = read_yaml(place / "prometheus.yml")
    for job in config["scrape_configs"]:
        assert (place / job.get("authorization", {}).get("credentials_file", ".")).exists()
        assert all((place / file).is_file() for file in job["file_sd_configs"][0]["files"])


def test_prometheus_discovers_what_the_registry_lists() -> None:
    """The discovery files are committed; no one in the container would write them."""
    folder = mounts("prometheus")[PurePosixPath("/etc/prometheus/targets")]
    found = {path.stem: read_yaml(path) for path in folder.iterdir()}
    assert found == discovery(REGISTRY)


def test_alertmanager_finds_all_it_reads(tmp_path: Path) -> None:
    """Its templates and the token, where the committed file has them."""
    place = placed("alertmanager", tmp_path, "/etc/alertmanager", made_secrets(tmp_path))
    assert "1 templates" in run_tool("amtool", "check-config", place / "alertmanager.yml").stdout
    text = (place / "alertmanager.yml").read_text(encoding="utf-8")
    for named in re.findall(r"credentials_file: (\S+)", text):
        assert (place / named).is_file()
    for kind, key in ((Kind.RECONCILER, "url: http://"), (Kind.MAIL, "smtp_smarthost: ")):
        assert f"{key}{REGISTRY.one(kind).address}" in text


def test_grafana_is_provisioned_with_the_addresses_of_the_registry() -> None:
    """Its data sources, its boards, and where links in alerts lead."""
    provisioning = mounts("grafana")[PurePosixPath("/etc/grafana/provisioning")]
    (sources,) = (provisioning / "datasources").glob("*.yaml")
    urls = {
        datasource["type"]: datasource["url"] for datasource in read_yaml(sources)["datasources"]
    }
    for kind in (Kind.PROMETHEUS, Kind.ALERTMANAGER):
        assert urls[kind.value] == f"http://{REGISTRY.one(kind).address}"
    (boards,) = (provisioning / "dashboards").glob("*.yaml")
    (provider,) = read_yaml(boards)["providers"]
    target = PurePosixPath(provider["options"]["path"])
    assert mounts("grafana")[target].samefile(ROOT / "grafana" / "dashboards")
    settings = SERVICES["grafana"]["environment"]
    port = settings["GF_SERVER_HTTP_PORT"]
    assert settings["GF_SERVER_ROOT_URL"] == f"http://127.0.0.1:{port}/"
    rules = (ROOT / "prometheus" / "rules" / "bot.yml").read_text(encoding="utf-8")
    assert f"dashboard_url: http://127.0.0.1:{port}/" in rules
    assert settings["GF_SECURITY_ADMIN_PASSWORD__FILE"] in secrets("grafana")


OLDEST = {"prom/alertmanager": (0, 28), "prom/prometheus": (3, 0)}
"""Alertmanager before 0.25.1 runs scripts that an alert plants in its page (CVE-2023-40577)."""


def test_every_image_has_a_version_that_is_maintained() -> None:
    for service in SERVICES.values():
        name, _, tag = service["image"].partition(":")
        version = tuple(int(part) for part in re.findall(r"\d+", tag)[:2])
        assert version, f"{name} has no version: it would change without notice"
        assert version >= OLDEST.get(name, (0,)), service["image"]

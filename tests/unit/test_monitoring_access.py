"""Where Prometheus and Alertmanager are reached, and what is refused."""

from pathlib import Path

import aiohttp
import pytest

from tests.unit.stack.registries import REPOSITORY, committed
from trading_ops.clients.monitoring import Monitoring, credentials, urls
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Kind
from trading_ops.errors import ConfigError


def settings(folder: Path, **values: str) -> Settings:
    environ = {f"TRADING_OPS_{key.upper()}": value for key, value in values.items()}
    return load_settings(REPOSITORY, {"TRADING_OPS_VAR": str(folder), **environ})


def test_by_default_they_are_where_targets_yml_says(tmp_path: Path) -> None:
    access = settings(tmp_path).prometheus_access
    assert urls(access, committed().of_kind(Kind.PROMETHEUS)) == ["http://127.0.0.1:9090"]
    assert credentials(access) == ""


def test_a_cluster_behind_urls_of_its_own(tmp_path: Path) -> None:
    given = settings(tmp_path, alertmanager_url="https://am-1.example.com/am/, https://[fd00::2]")
    found = urls(given.alertmanager_access, committed().of_kind(Kind.ALERTMANAGER))
    assert found == ["https://am-1.example.com/am", "https://[fd00::2]"]


@pytest.mark.parametrize(
    "url",
    [
        "http://prometheus.example.com",
        "http://10.0.0.5:9090",
        "ftp://127.0.0.1",
        "127.0.0.1:9090",
        "https://user:password@prometheus.example.com",
        "https://prometheus.example.com/?x=1",
        "https://host:99999",
    ],
)
def test_an_unusable_url_is_refused(tmp_path: Path, url: str) -> None:
    access = settings(tmp_path, prometheus_url=url).prometheus_access
    with pytest.raises(ConfigError, match="prometheus_url"):
        urls(access, ())


def test_a_password_file_is_used_when_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    file = tmp_path / "secrets" / "alertmanager_password"
    file.write_text("a password\n")
    file.chmod(0o600)
    given = settings(tmp_path, alertmanager_user="ops")
    assert credentials(given.alertmanager_access) == "ops:a password"
    assert credentials(given.prometheus_access) == ""
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="others can read it"):
        credentials(given.alertmanager_access)


async def test_a_named_password_file_must_be_there(tmp_path: Path) -> None:
    given = settings(tmp_path, prometheus_password_file=str(tmp_path / "missing"))
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConfigError, match="missing"):
            Monitoring(session, given, committed()).prometheus()

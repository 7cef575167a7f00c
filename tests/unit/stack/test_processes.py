import stat
import sys
from pathlib import Path

import pytest

from tests.unit.stack.registries import TWO_BOTS, changed, committed, settings_in
from trading_ops.domain.target import Restarts
from trading_ops.errors import ConfigError, SetupError
from trading_ops_lab.supervisor.process import AskBanner, AskHttp
from trading_ops_lab.supervisor.processes import find_binary, processes


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which only these two tools are."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("prometheus", "prometheus-alertmanager"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_the_order_of_the_start(tmp_path: Path, tools: Path) -> None:
    """What others need comes first, Prometheus last."""
    plans = processes(settings_in(tmp_path), committed())
    names = [plan.unit for plan in plans]
    assert names == [
        "mail", "venue", "bot-alpha", "exporter", "reconciler", "alertmanager", "prometheus",
    ]  # fmt: skip
    after = {plan.unit: plan.after for plan in plans}
    assert after["mail"] == after["venue"] == after["reconciler"] == ()
    assert after["bot-alpha"] == ("venue",)
    assert after["prometheus"] == ("bot-alpha", "exporter", "reconciler", "alertmanager")
    for position, plan in enumerate(plans):
        assert set(plan.after) <= set(names[:position])


def test_every_process_is_asked_in_its_own_way(tmp_path: Path, tools: Path) -> None:
    """The venue at its fault port, without a token; the bot's agent, with the metrics' token."""
    ready = {plan.unit: plan.ready for plan in processes(settings_in(tmp_path), committed())}
    assert ready["mail"] == AskBanner(address="127.0.0.1:8451", begins="220 ")
    secrets = tmp_path / "secrets"
    assert ready["venue"] == AskHttp(url="http://127.0.0.1:8402/ready")
    assert ready["bot-alpha"] == AskHttp(
        url="http://127.0.0.1:8411/health",
        token_file=secrets / "metrics_token",
        not_yet={"status": "failing"},
    )
    for unit, port in (("exporter", 8421), ("reconciler", 8431), ("prometheus", 9090)):
        assert ready[unit] == AskHttp(url=f"http://127.0.0.1:{port}/-/ready")


def test_commands_are_arrays_with_the_flags_that_matter(tmp_path: Path, tools: Path) -> None:
    """Retention, the grace period and the missing cluster port are in the arguments."""
    argv = {plan.unit: plan.argv for plan in processes(settings_in(tmp_path), committed())}
    assert argv["prometheus"][0] == str(tools / "prometheus")
    assert {
        "--storage.tsdb.retention.time=35d",
        "--storage.tsdb.retention.size=10GB",
        "--rules.alert.for-grace-period=1m",
        "--web.cors.origin=none",
        "--web.listen-address=127.0.0.1:9090",
        f"--config.file={tmp_path}/prometheus/prometheus.yml",
    } <= set(argv["prometheus"])
    assert "--web.enable-lifecycle" not in argv["prometheus"]
    assert argv["alertmanager"][0] == str(tools / "prometheus-alertmanager")
    assert "--cluster.listen-address=" in argv["alertmanager"]
    assert argv["bot-alpha"] == (
        sys.executable, "-m", "trading_ops_lab.paper.bot",
        "--config", f"{tmp_path}/config/bot-alpha.json",
    )  # fmt: skip
    assert f"TRADING_OPS_VAR={tmp_path}" in argv["reconciler"]


def test_the_registry_says_who_restarts(tmp_path: Path, tools: Path) -> None:
    """Only the bot's restarts are the reconciler's."""
    plans = processes(settings_in(tmp_path), committed())
    asked = {plan.unit for plan in plans if plan.restarts is Restarts.RECONCILER}
    assert asked == {"bot-alpha"}


def test_a_second_bot_is_a_second_process(tmp_path: Path, tools: Path) -> None:
    """Each registered bot is started, and Prometheus waits for all of them."""
    plans = {plan.unit: plan for plan in processes(settings_in(tmp_path), changed(TWO_BOTS))}
    assert plans["bot-beta"].after == ("venue",)
    assert {"bot-alpha", "bot-beta"} <= set(plans["prometheus"].after)


def test_what_another_manager_runs_is_left_to_it(tmp_path: Path, tools: Path) -> None:
    """A target without this supervisor's service is not started."""
    registry = changed(("    service: {manager: supervisor, unit: prometheus}\n", ""))
    assert "prometheus" not in {plan.unit for plan in processes(settings_in(tmp_path), registry)}


def test_two_targets_cannot_share_a_unit(tmp_path: Path, tools: Path) -> None:
    """The error names the unit."""
    registry = changed(("unit: exporter", "unit: venue"))
    with pytest.raises(ConfigError, match="unit venue"):
        processes(settings_in(tmp_path), registry)


def test_upstreams_name_comes_before_debians(tools: Path) -> None:
    """Both names of Alertmanager are known."""
    (tools / "alertmanager").write_text("#!/bin/sh\n")
    (tools / "alertmanager").chmod(stat.S_IRWXU)
    names = ("alertmanager", "prometheus-alertmanager")
    assert find_binary(names, "x") == str(tools / "alertmanager")


def test_a_missing_tool_is_one_sentence_with_the_fix(tools: Path) -> None:
    """The error names the tool, the command and Debian's package."""
    with pytest.raises(SetupError, match=r"pushgateway is not installed: run `make setup`.*pkg"):
        find_binary(("pushgateway",), "pkg")

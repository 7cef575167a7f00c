"""What `doctor` concludes from the answers of Prometheus and Alertmanager."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from trading_ops.doctor.peers import (
    delivery_check,
    flags_check,
    receiver_check,
    rules_check,
    version_check,
)

SHIPPED = yaml.safe_load((Path(__file__).parents[3] / "alertmanager/alertmanager.yml").read_text())
URL = "https://ops.example:8431/api/v1/webhook/alertmanager"
OURS = {"name": "trading-ops", "webhook_configs": [{"url": URL}]}


@pytest.mark.parametrize(
    ("name", "version", "ok", "warning"),
    [
        ("Prometheus", "2.42.0+ds", True, False),
        ("Prometheus", "3.14.0", True, False),
        ("Prometheus", "2.41.9", False, False),
        ("Alertmanager", "0.25.0", True, False),
        ("Alertmanager", "v0.34.1", True, False),
        ("Alertmanager", "0.24.0", False, False),
        ("Alertmanager", "", True, True),
        ("Prometheus", "(devel)", True, True),
    ],
)
def test_versions(name: str, version: str, *, ok: bool, warning: bool) -> None:
    found = version_check(name, version)
    assert (found.ok, found.warning) == (ok, warning)
    assert bool(found.fix) == (not ok or warning)


@pytest.mark.parametrize(
    ("grace", "origin", "missing"),
    [
        ("1m", "none", ""),
        ("1m", "^(?:https://grafana.example)$", ""),
        ("10m", "none", "--rules.alert.for-grace-period=1m"),
        ("1m", ".*", "--web.cors.origin=none"),
        ("10m", ".*", "--rules.alert.for-grace-period=1m --web.cors.origin=none"),
    ],
)
def test_missing_flags_are_named(grace: str, origin: str, missing: str) -> None:
    flags = {"rules.alert.for-grace-period": grace, "web.cors.origin": origin}
    found = flags_check(flags)
    assert (found.ok, found.warning) == (True, bool(missing))
    assert found.fix.endswith(missing)
    assert bool(found.fix) == bool(missing)


@pytest.mark.parametrize(
    ("active", "message"),
    [
        (["https://10.0.0.4:9093/api/v2/alerts"], ""),
        (["http://10.0.0.4:9093/api/v2/alerts", "https://10.0.0.4:9093/api/v2/alerts"], ""),
        (["http://am.example:9093/api/v2/alerts"], ""),  # another name for it
        (["http://10.0.0.4:9093/api/v2/alerts"], "scheme: https"),
        ([], "alerting.alertmanagers"),
    ],
)
def test_alerts_that_do_not_arrive(active: list[str], message: str) -> None:
    found = delivery_check(active, ["https://10.0.0.4:9093"])
    assert found.ok is not bool(message)
    assert message in found.fix


def test_rules_that_are_not_loaded_are_named() -> None:
    assert rules_check({"A", "B"}, {"A", "B", "Theirs"}, "rules").ok
    found = rules_check({"A", "B", "C", "D", "E"}, {"A"}, "/etc/x/rules")
    assert not found.ok
    assert "4 of 5" in found.detail
    assert "B, C, D and 1 more" in found.detail
    assert "/etc/x/rules/*.yml" in found.fix


@pytest.mark.parametrize(
    ("config", "ok", "message"),
    [
        (SHIPPED, True, "reconciler"),
        ({"receivers": [OURS], "route": {"receiver": "trading-ops"}}, True, "trading-ops"),
        (
            {
                "receivers": [OURS],
                "route": {"receiver": "x", "routes": [{"receiver": "trading-ops"}]},
            },
            True,
            "trading-ops",
        ),
        ({"receivers": [OURS], "route": {"receiver": "other"}}, False, "no route leads"),
        (
            {"receivers": [OURS | {"name": "mine"}], "route": {"receiver": "mine"}},
            False,
            "do not become incidents",
        ),
        ({"receivers": [{"name": "people"}], "route": {"receiver": "people"}}, False, "no webhook"),
        (
            {
                "receivers": [{"name": "trading-ops", "webhook_configs": [{"url": "<secret>"}]}],
                "route": {"receiver": "trading-ops"},
            },
            True,
            "trading-ops",
        ),
        (None, False, "no webhook"),
        ("hello", False, "no webhook"),
    ],
)
def test_our_receiver(config: Any, message: str, *, ok: bool) -> None:
    found = receiver_check(config, ["reconciler", "trading-ops"])
    assert (found.ok, bool(found.fix)) == (ok, not ok), found
    assert message in found.detail

"""The thresholds of `capacity.yml` and those of the alert rules are the same."""

from pathlib import Path

import pytest

from tests.rules.configuration import PROMETHEUS, run_tool
from trading_ops.capacity.limits import Choices, Thresholds
from trading_ops.capacity.resources import RESOURCES
from trading_ops.capacity.rules import FILES, PLACES, WARNED, WARNINGS, applied, warnings
from trading_ops.errors import ConfigError

RULES = PROMETHEUS / "rules"
DEFAULT = {resource.name: resource.thresholds for resource in RESOURCES}
NAMES = sorted(set(FILES.values()))


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_rules_have_the_default_thresholds(name: str) -> None:
    """Writing them changes nothing."""
    text = (RULES / name).read_text(encoding="utf-8")
    assert applied(text, name, Choices()) == text


def test_each_threshold_reaches_its_rule_and_no_other(tmp_path: Path) -> None:
    """One figure changes for each, promtool accepts the result, and it can be undone."""
    for place in PLACES:
        text = (RULES / place.file).read_text(encoding="utf-8")
        choices = Choices(thresholds={place.resource: Thresholds(warning=0.1, critical=0.73)})
        changed = applied(text, place.file, choices)
        different = [
            new
            for old, new in zip(text.splitlines(), changed.splitlines(), strict=True)
            if old != new
        ]
        assert len(different) == 1, place
        assert f"{place.figure(0.73):g}" in different[0]
        path = tmp_path / f"{place.resource}.yml"
        path.write_text(changed, encoding="utf-8")
        assert applied(changed, place.file, Choices()) == text
    run_tool("promtool", "check", "rules", *sorted(tmp_path.glob("*.yml")))


def test_every_resource_with_such_an_alert_is_written() -> None:
    """The runbook that a plan names is that of the rule which is written."""
    runbooks = {resource.name: resource.runbook for resource in RESOURCES}
    assert {place.resource: place.alert for place in PLACES}.items() <= runbooks.items()


def test_a_rule_without_the_threshold_is_refused() -> None:
    """It was changed manually: nothing is written over it."""
    with pytest.raises(ConfigError, match="TradingBotRateLimitHigh"):
        applied("groups: []\n", "calls.yml", Choices())


def test_the_shipped_warnings_are_those_of_the_defaults() -> None:
    """Writing them changes nothing."""
    assert (RULES / WARNINGS).read_text(encoding="utf-8") == warnings(Choices())


def test_each_resource_with_a_limit_warns_at_its_own_level(tmp_path: Path) -> None:
    """Of the table or of `capacity.yml`; promtool accepts the result."""
    choices = Choices(
        thresholds={
            resource.name: Thresholds(warning=0.0625, critical=1) for resource in RESOURCES
        },
        limits={resource.name: 4096.0 for resource in RESOURCES if resource.limit is None},
    )
    written = warnings(choices)
    for resource in WARNED:
        (line,) = (
            part for part in written.splitlines() if f'"resource", "{resource.name}"' in part
        )
        assert ">= 0.0625" in line
        assert ("/ 4096" in line) == (resource.limit is None)
    without = warnings(Choices())
    assert all(
        (f'"{resource.name}"' in without) == (resource.limit is not None) for resource in WARNED
    )
    assert "prometheus" not in written
    (tmp_path / "warnings.yml").write_text(written, encoding="utf-8")
    run_tool("promtool", "check", "rules", tmp_path / "warnings.yml")

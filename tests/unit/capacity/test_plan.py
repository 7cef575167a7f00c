"""Recommendations with their arithmetic, statuses, and the ranking."""

import re
from pathlib import Path

import pytest

from trading_ops.capacity.forecast import Usage
from trading_ops.capacity.limits import Choices, Thresholds, load_choices
from trading_ops.capacity.plan import Level, ResourceView, bottlenecks, view
from trading_ops.capacity.recommend import amount
from trading_ops.capacity.resources import (
    NAMES,
    RESOURCES,
    SCALE,
    CapacityRemedy,
    Resource,
    ResourceUnit,
)
from trading_ops.capacity.trend import GrowthFinding, GrowthTrend
from trading_ops.errors import ConfigError

LIMIT = 50.0
"""Of every resource here, in units of its `ResourceUnit`."""

BY_NAME = {resource.name: resource for resource in RESOURCES}


def used_of(peak: float, slope: float, finding: GrowthFinding | None = None) -> Usage:
    """Return a series that stands at its peak."""
    known = finding or (GrowthFinding.GROWING if slope > 0 else GrowthFinding.NO_TREND)
    found = GrowthTrend(
        finding=known,
        slope=slope,
        low=0.8 * slope,
        high=1.2 * slope,
        level=peak,
        noise=0.0,
        last_day=0.0,
        z=4.0,
        days=29.0,
        stepped_at=None,
    )
    return Usage(now=peak, p95=peak, peak=peak, trend=found)


def planned(resource: Resource, peak: float, slope: float, **choices: object) -> ResourceView:
    """Return the plan of a series of it, with figures in its unit."""
    scale = SCALE[resource.unit]
    labels = dict.fromkeys(resource.by, "x")
    used = used_of(peak * scale, slope * scale)
    return view(resource, labels, used, LIMIT * scale, Choices(**choices))  # type: ignore[arg-type]


def test_there_are_enough_resources() -> None:
    """Names are unique, thresholds in order, and each has something to change."""
    assert len(NAMES) == len(RESOURCES) >= 14
    for resource in RESOURCES:
        assert 0 < resource.thresholds.warning < resource.thresholds.critical <= 1
        assert resource.change


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_the_arithmetic_of_each_recommendation(resource: Resource) -> None:
    """The amount is what is needed until the horizon ends, and the sentence has all its terms."""
    found = planned(resource, peak=40, slope=1, horizon_days=60)
    scale, critical = SCALE[resource.unit], resource.thresholds.critical
    needed = (40 + 60 * 1) / critical
    assert found.level is not Level.OK
    assert "60 x " in found.recommendation
    if resource.remedy is CapacityRemedy.REDUCE:
        assert f"by {1 - LIMIT / needed:.0%}" in found.recommendation
        assert found.add == 0
        return
    more = found.add / scale
    assert needed <= LIMIT + more < needed + 1
    assert more == int(more)
    # Recomputed from the sentence alone: (a + n x b) / c = d, rounded to three digits.
    terms = re.search(
        r"\(([\d.,]+).* \+ (\d+) x ([\d.]+).*\) / ([\d.]+) = ([\d.,]+)", found.recommendation
    )
    assert terms
    level, days, pace, share, result = (float(group.replace(",", "")) for group in terms.groups())
    assert (level + days * pace) / share == pytest.approx(result, rel=0.01)


def test_days_to_each_threshold_with_an_interval() -> None:
    """A disk of 100 GB at 70 GB that grows by 1 GB a day."""
    used = used_of(70e9, 1e9)
    found = view(BY_NAME["disk"], {"path": "/var"}, used, 100e9, Choices())
    assert found.to_warning
    assert found.to_critical
    assert found.to_full
    assert found.to_warning.expected == 10
    assert found.to_critical.expected == 25
    assert found.to_full.expected == 30
    assert found.to_full.earliest == 30 / 1.2 - 1
    assert found.to_full.latest == 30 / 0.8 + 1


@pytest.mark.parametrize("errors", [0.0, 37.0])
def test_a_full_pool_needs_more(errors: float) -> None:
    """Its usage cannot exceed its size."""
    pool = next(resource for resource in RESOURCES if resource.name == "pool")
    found = view(pool, {"pool": "main"}, used_of(10, 0.0), 10.0, Choices(), errors=errors)
    assert (found.level, found.add) == (Level.CRITICAL, 3)


def test_errors_at_low_use_are_no_lack_of_capacity() -> None:
    """A link that drops packets at 10 % does not become better by being larger."""
    link = next(resource for resource in RESOURCES if resource.name == "network")
    found = view(link, {"device": "eth0"}, used_of(12e6, 0.0), 125e6, Choices(), errors=37.0)
    assert found.add == 0


def test_a_price_gives_the_cost_of_the_addition() -> None:
    """(40 + 60) / 0.95 - 50 = 55.3, so 56 GB."""
    found = planned(BY_NAME["disk"], 40, 1, horizon_days=60, prices={"disk": 0.1})
    assert found.cost == 5.6
    assert planned(BY_NAME["disk"], 40, 1, horizon_days=60).cost is None


def test_logs_may_be_kept_for_fewer_days_instead() -> None:
    """At (40 + 60) of 50, 30 days become 15."""
    found = planned(BY_NAME["logs"], 40, 1, horizon_days=60, log_kept_days=30)
    assert "log_kept_days: 15" in found.recommendation


@pytest.mark.parametrize(
    ("peak", "slope", "expected"),
    [
        (10, 0, Level.OK),
        (41, 0, Level.WARNING),
        (48, 0, Level.CRITICAL),
        (10, 0.1, Level.OK),
        (10, 1, Level.WARNING),
    ],
)
def test_statuses(peak: float, slope: float, expected: Level) -> None:
    """By the peak of the week, or because critical is reached within the horizon."""
    found = planned(BY_NAME["disk"], peak, slope)
    assert found.level is expected
    assert ("nothing to do" in found.recommendation) == (expected is Level.OK)


def test_missing_data_is_unknown() -> None:
    """No sample, or no limit: never ok, and nothing is forecast."""
    disk = BY_NAME["disk"]
    without_data = view(disk, {}, None, 100.0, Choices())
    without_limit = view(disk, {}, used_of(1e9, 1e9), None, Choices())
    for unknown in (without_data, without_limit):
        assert unknown.level is Level.UNKNOWN
        assert unknown.to_full is None
    short = used_of(10.0, 0.0, GrowthFinding.TOO_SHORT)
    assert view(disk, {}, short, 100.0, Choices()).to_full is None


def test_the_ranking_has_errors_first_then_saturation_then_utilisation() -> None:
    """What has none of them is no bottleneck."""

    def ranked(name: str, peak: float, saturation: float, errors: float) -> ResourceView:
        resource = BY_NAME["disk"]
        return view(
            resource,
            {"path": name},
            used_of(peak, 0),
            100.0,
            Choices(),
            saturation=saturation,
            errors=errors,
        )

    found = bottlenecks(
        [
            ranked("idle", 10, 0, 0),
            ranked("full", 90, 0, 0),
            ranked("fuller", 95, 0, 0),
            ranked("waiting", 20, 0.3, 0),
            ranked("failing", 5, 0, 2),
        ]
    )
    assert [resource.labels["path"] for resource in found] == [
        "failing",
        "waiting",
        "fuller",
        "full",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("thresholds:\n  dsk: {warning: 0.8, critical: 0.9}\n", "thresholds.dsk"),
        ("thresholds:\n  disk: {warning: 0.9, critical: 0.8}\n", "thresholds.disk"),
        ("thresholds:\n  disk: {warning: 0.8, critical: 1.8}\n", "critical"),
        ("limits:\n  network: -1\n", "limits"),
        ("horizon: 3\n", "horizon"),
        ("limits: [", "capacity.yml"),
    ],
)
def test_a_wrong_file_names_the_place(tmp_path: Path, text: str, problem: str) -> None:
    """An unknown resource or field, thresholds in the wrong order, a value out of range."""
    path = tmp_path / "capacity.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(problem)):
        load_choices(path, NAMES)


def test_own_thresholds_win(tmp_path: Path) -> None:
    """Those of one resource; the others keep theirs."""
    path = tmp_path / "capacity.yml"
    assert load_choices(path, NAMES) == Choices()
    path.write_text("thresholds:\n  disk: {warning: 0.1, critical: 0.15}\n")
    choices = load_choices(path, NAMES)
    assert choices.thresholds == {"disk": Thresholds(warning=0.1, critical=0.15)}
    assert view(BY_NAME["disk"], {}, used_of(20, 0), 100, choices).level is Level.CRITICAL
    assert view(BY_NAME["memory"], {}, used_of(20, 0), 100, choices).level is Level.OK


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        (ResourceUnit.BYTES, 57.6e6, "57.6 MB"),
        (ResourceUnit.BYTES, 2.71e11, "271 GB"),
        (ResourceUnit.BYTES, 0, "0 GB"),
        (ResourceUnit.BYTES, 512, "512 B"),
        (ResourceUnit.SECONDS, 0.00109, "1.09 ms"),
        (ResourceUnit.CPUS, 1, "1 CPU"),
        (ResourceUnit.SHARE, 0.322, "32.2 %"),
    ],
)
def test_amounts_have_a_unit_that_fits(unit: ResourceUnit, value: float, text: str) -> None:
    """A small file is not 2.59e-05 GB."""
    assert amount(unit, value) == text

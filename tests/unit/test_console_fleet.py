"""When money is at risk, and which bot comes first."""

from datetime import timedelta
from typing import Any

import pytest

from tests.builders import NOW, ago, make_incident
from trading_ops.api.targets import AgentView, TargetView
from trading_ops.console.api_docs import Schema, schemas
from trading_ops.console.figures import FleetMoney, Money
from trading_ops.console.fleet import Row, gather
from trading_ops.console.rendering import age, amount, line
from trading_ops.console.visitor import HOME, Grafana, local
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.domain.target import Kind


def agent(**over: Any) -> AgentView:
    values: dict[str, Any] = {
        "state": "active",
        "status": "ok",
        "answered_at": ago(1),
        "heartbeat_at": ago(1),
        "components": {"broker": True},
    }
    return AgentView(**(values | over))


def target(**over: Any) -> TargetView:
    values: dict[str, Any] = {
        "name": "alpha",
        "kind": Kind.BOT,
        "venue": "paper",
        "team": "",
        "host": "",
        "open_incidents": 0,
        "holds": [],
        "in_force": [],
        "silences": [],
        "automation": "acts",
        "automation_note": "",
        "agent": agent(),
    }
    return TargetView(**(values | over))


def row(money: Money | None = None, incidents: tuple[Any, ...] = (), **over: Any) -> Row:
    figures = FleetMoney(of={"alpha": money or Money()}, at=NOW.timestamp())
    return gather([target(**over)], incidents, figures, NOW).rows[0]


HALT = Hold(id="h1", target="alpha", state=HeldState.HALTED, owner="ada", reason="odd", at=ago(60))
REDUCE = Hold(
    id="h2", target="alpha", state=HeldState.REDUCING, owner="ada", reason="odd", at=ago(60)
)


@pytest.mark.parametrize(
    ("found", "state", "severity"),
    [
        (row(), "active", 0),
        (row(agent=None), "unknown", 1),
        (row(agent=agent(answered_at=ago(10))), "unresponsive", 2),
        (row(agent=agent(state="halted")), "halted", 1),
        (row(agent=agent(state="strange")), "unknown", 1),
        (row(holds=[HALT], in_force=["h1"]), "halted", 1),
        (row(holds=[REDUCE], in_force=["h2"]), "reducing", 1),
        (row(holds=[HALT]), "active", 2),
        (row(Money(loss_used=0.79)), "active", 0),
        (row(Money(loss_used=0.8)), "active", 1),
        (row(Money(loss_used=1.0)), "active", 2),
        (row(Money(exposure_used=1.0)), "active", 1),
        (row(Money(exposure_used=1.01)), "active", 2),
        (row(Money(drift={"BTC/USD": 0.1})), "active", 2),
        (row(agent=agent(components={"broker": False})), "active", 1),
        (row(agent=agent(heartbeat_at=ago(6))), "active", 1),
        (row(incidents=(make_incident(),)), "active", 2),
        (row(incidents=(make_incident(labels={"bot": "alpha"}),)), "active", 1),
        (row(kind=Kind.BARE_BOT, agent=None), "unknown", 1),
        (row(Money(state="halted"), kind=Kind.BARE_BOT, agent=None), "halted", 1),
        (row(Money(state="active", broker=False), kind=Kind.BARE_BOT, agent=None), "active", 1),
    ],
)
def test_states(found: Row, state: str, severity: int) -> None:
    assert (found.state, found.severity) == (state, severity)


def test_the_worst_comes_first_and_the_money_is_added() -> None:
    """Per currency; an incident that names no bot is counted apart."""
    figures = FleetMoney(
        of={
            "a": Money(loss={"USD": 1.0}, exposure={"USD": 10.0}, loss_used=0.1),
            "b": Money(loss={"USD": 2.0, "EUR": 5.0}, loss_used=0.9),
            "c": Money(drift={"X": 1.0}),
        },
        at=NOW.timestamp(),
    )
    incidents = [make_incident(target=None, labels={"alertname": "TradingHostDiskFull"})]
    fleet = gather([target(name=name) for name in "abcd"], incidents, figures, NOW)
    assert [shown.name for shown in fleet.rows] == ["c", "b", "a", "d"]
    assert (fleet.loss, fleet.exposure) == ({"EUR": 5.0, "USD": 3.0}, {"USD": 10.0})
    assert fleet.worst_loss is not None
    assert (fleet.worst_loss.name, fleet.worst_exposure) == ("b", None)
    assert (fleet.open_incidents, len(fleet.others)) == (1, 1)
    assert [shown.name for shown in fleet.found("", "trouble")] == ["c", "b"]
    assert [shown.name for shown in fleet.found("C", "")] == ["c"]
    assert len(fleet.found("PAPER", "")) == 4  # their venue


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("/console/incidents?show=all", "/console/incidents?show=all"),
        ("", HOME),
        ("https://evil.example/", HOME),
        ("//evil.example/console/", HOME),
        ("/console\\evil", HOME),
        ("/console/\r\nSet-Cookie: a=b", HOME),
        ("/consolex", HOME),
        ("javascript:alert(1)", HOME),
    ],
)
def test_only_pages_of_ours_come_next(asked: str, given: str) -> None:
    assert local(asked) == given


def test_figures_as_people_read_them() -> None:
    assert [amount(number) for number in (0, 0.5, 12.5, 1234.5, -2e6)] == [
        "0",
        "0.50",
        "12.50",
        "1,234",
        "-2,000,000",
    ]
    assert [age(seconds) for seconds in (None, 0.4, 59, 600, 86400, 864000, -600)] == [
        "-",
        "0.4 s",
        "59 s",
        "10 min",
        "24 h",
        "10 d",
        "in 10 min",
    ]
    assert line([]) == ""
    assert line([(0, 1)]) == "1.0,11.0"
    assert line([(0, 1), (60, 2)]) == "1.0,20.0 95.0,2.0"


def test_a_board_gets_its_time_and_variables() -> None:
    grafana = Grafana(base="https://grafana.example/")
    link = grafana.link("trading-ops-bot", begin=NOW - timedelta(hours=1), end=NOW, bot="a&b")
    begin = int((NOW - timedelta(hours=1)).timestamp() * 1000)
    assert link == (
        f"https://grafana.example/d/trading-ops-bot?var-bot=a%26b&from={begin}"
        f"&to={int(NOW.timestamp() * 1000)}"
    )


def test_types_of_the_api_are_read_whatever_their_form() -> None:
    """References are followed; `true` is JSON Schema's short form for anything."""
    answer = {"200": {"content": {"application/json": {"schema": _reference("Page")}}}}
    fields = {
        "all": {"type": "array", "items": True},
        "rest": True,
        "one": {"anyOf": [_reference("Row"), {"type": "null"}]},
    }
    described = {
        "paths": {"/x": {"get": {"tags": ["x"], "responses": answer}}},
        "components": {
            "schemas": {
                "Page": {"properties": fields, "required": ["all"]},
                "Row": {"enum": ["a", "b"]},
            }
        },
    }
    assert schemas(described, "x") == [
        Schema(
            name="Page",
            description="",
            fields=[
                ("all", "list of any", True),
                ("rest", "any", False),
                ("one", "Row or null", False),
            ],
            values=[],
        ),
        Schema(name="Row", description="", fields=[], values=["a", "b"]),
    ]


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}

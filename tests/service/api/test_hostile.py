"""Nothing that can be sent makes a mistake of ours: no 500, and no trace of one in the log."""

import json
from typing import Any

import pytest

from tests.service.api.conftest import LOCAL
from tests.service.api.test_access import concrete
from tests.service.reconciler.conftest import Start
from trading_ops.api.auth import Role
from trading_ops.api.requests import fields_of
from trading_ops.api.route import Route
from trading_ops.api.routes import described

VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1e308,
    -0.0,
    "",
    "x",
    "x" * 100_000,
    "a\0b",
    "\u202e\U0001f4a5",
    "\ufffe",
    "0001-01-01",
    "9999-12-31",
    "9999-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00+14:00",
    "1e400",
    [],
    ["x"],
    [["x"]],
    {},
    {"x": "y"},
    {"x": {"y": 1}},
]
BODIES = [
    b"",
    b"\xff\xfe",
    b"null",
    b"{",
    b"[]",
    b'"x"',
    b"NaN",
    b"[" * 100_000,
    b'{"reason": ' + b"[" * 100_000,
    b'{"reason": "\\ud800"}',
    b'{"reason": "a", "reason": "b"}',
    b'{"\\ud800": 1}',
    b'{"seconds": 1e999, "reason": "x"}',
    b'{"seconds": ' + b"9" * 5000 + b', "reason": "x"}',
]
GOOD = {
    "reason": "x",
    "seconds": 1,
    "target": "alpha",
    "owner": "ada",
    "key": "k",
    "holds": ["h"],
    "params": {},
    "override_budget": False,
    "kind": "acknowledge",
    "operation": "prune",
    "note": "",
    "begins_at": "2026-01-01T00:00:00Z",
    "channel": "mail",
    "date": "2026-01-01",
    "since": None,
    "until": None,
    "team": "",
    "host": "",
    "every": "Sun 02:00",
    "zone": "UTC",
    "checks": [{"name": "x", "passed": True, "value": None, "evidence": "x"}],
}
TABLE = [route for route in described() if not route.path.endswith("/stream")]
TAKING = [route for route in TABLE if "body" in route.takes]
ASKING = [route for route in TABLE if "query" in route.takes]


def path_of(route: Route) -> str:
    """Return a path that names what is there, where that can be."""
    return (
        concrete(route)
        .replace("/targets/nothing", "/targets/alpha")
        .replace("/actions/nothing", "/actions/reconnect_broker")
        .replace("/reports/nothing", "/reports/weekly")
    )


def bodies(route: Route) -> list[bytes]:
    """Return strange bodies, and the good one with one field at a time that is strange."""
    fields = fields_of(route.takes["body"])
    good = {name: GOOD[name] for name in fields}
    strange = [json.dumps(good | {name: value}).encode() for name in fields for value in VALUES]
    return [*BODIES, *strange]


@pytest.mark.parametrize("route", TAKING, ids=lambda route: f"{route.method} {route.path}")
async def test_no_body_is_our_mistake(
    start: Start, route: Route, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is answered with what the document says, and in its shape."""
    allowed = {*route.errors, route.status, 503}
    headers = {"Authorization": f"Bearer {LOCAL}"}
    async with start() as running:
        for body in bodies(route):
            async with running.client.request(
                route.method, path_of(route), data=body, headers=headers
            ) as response:
                assert response.status in allowed, (response.status, body[:200])
                if response.status >= 400:
                    assert (await response.json())["detail"]
    assert "request_failed" not in capsys.readouterr().out


@pytest.mark.parametrize("route", ASKING, ids=lambda route: f"{route.method} {route.path}")
async def test_no_query_is_our_mistake(
    start: Start, route: Route, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each parameter with each value."""
    allowed = {*route.errors, route.status, 400}
    headers = {"Authorization": f"Bearer {LOCAL}"}
    async with start() as running:
        for name in fields_of(route.takes["query"]):
            for value in VALUES:
                text = value if isinstance(value, str) else json.dumps(value)
                async with running.client.request(
                    route.method, path_of(route), params={name: text[:4000]}, headers=headers
                ) as response:
                    assert response.status in allowed, (name, text[:100], response.status)
    assert "request_failed" not in capsys.readouterr().out


def test_every_order_is_tried() -> None:
    """A new route cannot be left out."""
    orders = [route for route in TABLE if route.method == "POST" and route.role is not Role.INTAKE]
    assert len(TAKING) == len(orders) - 1  # the test alert takes nothing

"""Requests of operators through the API: roles, the recorded owner, and the result."""

import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeWorld
from tests.service.api.conftest import TOKENS, ask
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.api.auth import Role
from trading_ops.config.settings import Settings
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.store import approvals, holds
from trading_ops.store.engine import writing_engine

VIEWER, OPERATOR, ADMIN = TOKENS[Role.VIEWER], TOKENS[Role.OPERATOR], TOKENS[Role.ADMIN]
WHY = {"reason": "odd fills"}


async def open_incident(running: Running) -> str:
    """Let an alert with a page-only runbook fire; return its incident's id."""
    running.world.labels["alertname"] = "PageOnly"
    await running.break_it()
    incident = await eventually(running.incident)
    return str(incident["id"])


async def actors(running: Running, kind: str) -> list[str]:
    """Return who is named by the events of a kind, newest first."""
    _, found = await ask(running, "GET", f"/api/v1/events?kind={kind}")
    return [event["actor"] for event in found["events"]]


async def test_who_did_it_is_the_token_and_the_person(start: Start, with_tokens: Settings) -> None:
    """The token's name always; the owner too, when there is another one."""
    del with_tokens
    async with start() as running:
        for owner in (None, "operator-1", "ada"):
            body: dict[str, Any] = {**WHY, "seconds": 60} | ({"owner": owner} if owner else {})
            status, paused = await ask(running, "POST", "/api/v1/pause", OPERATOR, json=body)
            assert status == 201
        assert paused["pause"]["owner"] == "ada (token operator-1)"
        assert await actors(running, "paused") == [
            "ada (token operator-1)",
            "operator-1",
            "operator-1",
        ]
        status, resumed = await ask(running, "DELETE", "/api/v1/pause", OPERATOR)
        assert (status, resumed) == (200, {"ended": 3, "pause": None})
        assert await actors(running, "unpaused") == ["operator-1"]


async def test_an_incident_is_acknowledged_snoozed_and_given_back(
    start: Start, with_tokens: Settings
) -> None:
    """Kept in the timeline, by name; the first letters of its id are enough."""
    del with_tokens
    async with start() as running:
        key = await open_incident(running)
        path = f"/api/v1/incidents/{key[:8]}/acknowledge"
        status, acknowledgement = await ask(running, "POST", path, OPERATOR, json={"note": "mine"})
        assert status == 201
        assert (acknowledgement["incident_id"], acknowledgement["kind"]) == (key, "acknowledge")
        assert (acknowledgement["owner"], acknowledgement["note"]) == ("operator-1", "mine")
        status, acknowledgement = await ask(
            running, "POST", path, json={"kind": "snooze", "seconds": 600, "owner": "ada"}
        )
        assert (status, acknowledgement["owner"]) == (201, "ada (token local)")
        assert (await ask(running, "DELETE", path, OPERATOR))[0] == 200
        status, problem = await ask(running, "DELETE", path, OPERATOR)
        assert (status, problem["error"]) == (409, "conflict")
        assert (await ask(running, "POST", path, VIEWER, json={}))[0] == 403
        nowhere = "/api/v1/incidents/nothing/acknowledge"
        assert (await ask(running, "POST", nowhere, json={}))[0] == 404


async def test_an_incident_is_resolved_once_its_alert_is_gone(
    start: Start, with_tokens: Settings
) -> None:
    """Refused while it fires; then closed by name, although automation cannot tell that it is over.

    Without the Watchdog, Prometheus' silence about an alert proves nothing to automation.
    """
    del with_tokens
    async with start(poll_interval_seconds=1) as running:
        key = await open_incident(running)
        path = f"/api/v1/incidents/{key}/resolve"

        async def resolved() -> tuple[int, Any]:
            return await ask(running, "POST", path, OPERATOR, json={**WHY, "owner": "ada"})

        async def refused_as_firing() -> bool:
            status, problem = await resolved()
            assert status == 409
            return "firing" in problem["detail"]

        await eventually(refused_as_firing)
        assert (await ask(running, "POST", path, VIEWER, json=WHY))[0] == 403
        assert (await ask(running, "POST", path, OPERATOR, json={}))[0] == 422
        running.world.watchdog = running.world.firing = False
        await eventually(lambda: _is(resolved, 200))
        found = await running.incident()
        assert found is not None
        assert found["close_reason"] == "resolved_by_operator"
        assert await actors(running, "closed") == ["ada (token operator-1)"]
        status, problem = await resolved()
        assert (status, "already closed" in problem["detail"]) == (409, True)


async def _is(order: Callable[[], Awaitable[tuple[int, Any]]], wanted: int) -> bool:
    return (await order())[0] == wanted


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"kind": "snooze"}, "`seconds` is missing"),
        ({"kind": "acknowledge", "seconds": 5}, "only for a snooze"),
        ({"kind": "forget"}, "`kind` must be one of acknowledge, snooze"),
        ({"kind": "snooze", "seconds": 86401}, "at most 86400"),
        ({"kind": "snooze", "seconds": "long"}, "`seconds` must be a number"),
        ({"note": "a\u0000b"}, "`note` must be text"),
        ({"owner": "x" * 101}, "`owner` must be text of 1 to 100 characters"),
    ],
)
async def test_a_strange_acknowledgement_is_explained(
    start: Start, body: dict[str, Any], message: str
) -> None:
    """422 with the field and what it may be."""
    async with start() as running:
        key = await open_incident(running)
        path = f"/api/v1/incidents/{key}/acknowledge"
        status, problem = await ask(running, "POST", path, json=body)
    assert status == 422
    assert message in problem["detail"]


async def test_a_request_is_approved_by_another_token(start: Start, with_tokens: Settings) -> None:
    """Not by the one who asked, anyone who they say they are; anyone may deny."""
    del with_tokens

    async def asked(running: Running, by: str) -> str:
        request = partial(
            approvals.request,
            incident_id=None,
            action="restart_bot",
            target="alpha",
            params={},
            step=None,
            requested_by=by,
            now=clock.now(),
        )
        return (await running.loop.intake.writer.run(request)).id

    async with start() as running:
        key = await asked(running, "ada (token operator-1)")
        path = f"/api/v1/approvals/{key}"
        bob = {"owner": "bob"}
        status, problem = await ask(running, "POST", f"{path}/approve", OPERATOR, json=bob)
        assert status == 409
        assert "another token" in problem["detail"]
        assert (await ask(running, "POST", f"{path}/approve", VIEWER, json={}))[0] == 403
        status, given = await ask(running, "POST", f"{path}/approve", ADMIN, json={})
        assert (status, given["state"], given["decided_by"]) == (200, "approved", "admin-1")
        assert (await ask(running, "POST", f"{path}/approve", json={}))[0] == 409
        key = await asked(running, "reconciler")
        path = f"/api/v1/approvals/{key}"
        found = (await ask(running, "GET", "/api/v1/approvals?state=approved", VIEWER))[1]
        assert len(found["approvals"]) == 1
        nothing = "/api/v1/approvals/nothing/deny"
        assert (await ask(running, "POST", nothing, json={}))[0] == 404


async def test_one_may_take_ones_own_request_back(start: Start, with_tokens: Settings) -> None:
    """Denying is in the safe direction."""
    del with_tokens
    async with start(two_person_approval=True) as running:
        body = {"target": "alpha", "reason": "stuck"}
        path = "/api/v1/actions/restart_bot"
        _, refused = await ask(running, "POST", path, ADMIN, json=body)
        assert refused["refusal"]["reason"] == "approval_missing"
        key = refused["approval"]["id"]
        approve, deny = (f"/api/v1/approvals/{key}/{verb}" for verb in ("approve", "deny"))
        assert (await ask(running, "POST", approve, ADMIN, json={}))[0] == 409
        status, denied = await ask(running, "POST", deny, ADMIN, json={})
        assert (status, denied["state"]) == (200, "denied")
        assert running.world.commands == []


async def test_a_manual_action_is_requested(start: Start, with_tokens: Settings) -> None:
    """An operator orders what can be repeated; a one-shot needs an admin."""
    del with_tokens
    async with start() as running:
        body = {"target": "alpha", "reason": "deaf", "owner": "ada"}
        path = "/api/v1/actions/reconnect_broker"
        status, order = await ask(running, "POST", path, OPERATOR, json=body)
        assert (status, order["refusal"]) == (200, None)
        key = order["attempt"]["id"]

        async def completed() -> Any:
            attempt = (await ask(running, "GET", f"/api/v1/attempts/{key}", VIEWER))[1]
            return attempt if attempt["attempt"]["state"] == "completed" else None

        timeline = await eventually(completed)
        assert timeline["attempt"]["requested_by"] == "ada (token operator-1)"
        assert {"started", "completed"} <= {event["kind"] for event in timeline["events"]}
        restart = "/api/v1/actions/restart_bot"
        status, problem = await ask(running, "POST", restart, OPERATOR, json=body)
        assert status == 403
        assert "one-shot" in problem["detail"]
        assert running.world.commands == ["reconnect_broker"]


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("nothing", {"target": "alpha", **WHY}, 404),
        ("reconnect_broker", {"target": "alpha", **WHY, "params": {"x": "y"}}, 422),
        ("restart_component", {"target": "alpha", **WHY}, 422),
        ("reconnect_broker", {"target": "nothing", **WHY}, 409),
        ("reconnect_broker", {"target": "alpha"}, 422),
        ("reconnect_broker", {"target": "alpha", **WHY, "params": {"x": 1}}, 422),
        ("reconnect_broker", {"target": "alpha", "reason": ""}, 422),
    ],
)
async def test_a_strange_order_is_refused(
    start: Start, world: FakeWorld, name: str, body: dict[str, Any], status: int
) -> None:
    """And nothing is done."""
    async with start() as running:
        found, problem = await ask(running, "POST", f"/api/v1/actions/{name}", json=body)
    assert found == status
    assert problem["detail"]
    assert world.commands == []


async def test_a_bot_is_halted_and_resumed(start: Start, with_tokens: Settings) -> None:
    """An operator may halt; only an admin releases it, and only what was named."""
    del with_tokens
    async with start() as running:
        path = "/api/v1/targets/alpha"
        order = {**WHY, "key": "hold-1"}
        for _ in range(2):
            status, placed = await ask(running, "POST", f"{path}/halt", OPERATOR, json=order)
            assert (status, placed["id"], placed["stored"], placed["acknowledged"]) == (
                200,
                "hold-1",
                True,
                True,
            )
        status, placed = await ask(running, "POST", f"{path}/reduce", OPERATOR, json=WHY)
        assert (status, placed["state"]) == (200, "reducing")
        targets = (await ask(running, "GET", "/api/v1/targets", VIEWER))[1]["targets"]
        alpha = next(target for target in targets if target["name"] == "alpha")
        assert {hold["id"] for hold in alpha["holds"]} == {"hold-1", placed["id"]}
        assert alpha["holds"][0]["owner"] == "operator-1"
        release = {**WHY, "holds": ["hold-1"]}
        assert (await ask(running, "POST", f"{path}/resume", OPERATOR, json=release))[0] == 403
        status, released = await ask(running, "POST", f"{path}/resume", ADMIN, json=release)
        assert (status, released["ids"]) == (200, ["hold-1"])
        assert [hold["id"] for hold in released["remaining"]] == [placed["id"]]
        status, released = await ask(running, "POST", f"{path}/resume", ADMIN, json=WHY)
        assert released["remaining"] == []


async def test_two_persons_release_a_hold(start: Start, with_tokens: Settings) -> None:
    """With the setting, no route lets one person alone set a bot trading again."""
    del with_tokens
    async with start(two_person_approval=True) as running:
        path = "/api/v1/targets/alpha"
        await ask(running, "POST", f"{path}/halt", OPERATOR, json={**WHY, "key": "hold-1"})
        status, problem = await ask(running, "POST", f"{path}/resume", ADMIN, json=WHY)
        assert status == 409
        assert "trading-ops approve" in problem["detail"]
        order = {"target": "alpha", "params": {"holds": "hold-1"}, "reason": "explained"}
        action = "/api/v1/actions/resume_trading"
        _, refused = await ask(running, "POST", action, ADMIN, json=order)
        assert refused["refusal"]["reason"] == "approval_missing"
        targets = (await ask(running, "GET", "/api/v1/targets", VIEWER))[1]["targets"]
        alpha = next(target for target in targets if target["name"] == "alpha")
        assert [hold["id"] for hold in alpha["holds"]] == ["hold-1"]


async def test_holds_of_a_bot_that_was_renamed_are_released_under_its_old_name(
    start: Start, with_tokens: Settings
) -> None:
    """Its new name has no hold, so the release asks no bot."""
    old = Hold(
        id="h", target="old", state=HeldState.HALTED, owner="ada", reason="odd", at=clock.now()
    )
    engine = writing_engine(with_tokens.database_url)
    with engine.begin() as connection:
        holds.place(connection, old, now=clock.now())
    engine.dispose()
    async with start() as running:
        path, token = "/api/v1/targets/old/resume", TOKENS[Role.ADMIN]
        order = {"reason": "held again as omega"}

        async def released() -> bool:
            status, body = await ask(running, "POST", path, token, json=order)
            return bool(status == 200 and body["ids"] == ["h"])

        await eventually(released)
        assert not await running.api_reader.read(holds.active)
        assert running.world.commands == []


async def test_all_bots_are_halted_at_once(start: Start, world: FakeWorld) -> None:
    """With the answer of each."""
    async with start() as running:
        status, placed = await ask(running, "POST", "/api/v1/halt", json=WHY)
    assert status == 200
    assert [(hold["target"], hold["acknowledged"]) for hold in placed["holds"]] == [("alpha", True)]
    assert world.commands == ["halt"]


async def test_all_bots_are_resumed_at_once(
    start: Start, with_tokens: Settings, world: FakeWorld
) -> None:
    """A bot that cannot be resumed is named and keeps its hold."""
    del with_tokens
    async with start() as running:
        path, admin = "/api/v1/resume", TOKENS[Role.ADMIN]
        assert (await ask(running, "POST", path, admin, json=WHY))[1] == {"released": []}
        _, placed = await ask(running, "POST", "/api/v1/halt", admin, json=WHY)
        hold = placed["holds"][0]["id"]
        assert (await ask(running, "POST", path, TOKENS[Role.OPERATOR], json=WHY))[0] == 403
        world.command_fails = True
        (refused,) = (await ask(running, "POST", path, admin, json=WHY))[1]["released"]
        assert (refused["ids"], [hold["id"] for hold in refused["remaining"]]) == ([], [hold])
        world.command_fails = False
        (released,) = (await ask(running, "POST", path, admin, json=WHY))[1]["released"]
        assert (released["target"], released["ids"], released["remaining"]) == ("alpha", [hold], [])
        assert not await running.api_reader.read(holds.active)


@pytest.mark.parametrize(("name", "status"), [("nothing", 404), ("prometheus", 422)])
async def test_only_bots_are_halted(start: Start, world: FakeWorld, name: str, status: int) -> None:
    """A name that is not a bot's is refused, and nothing is sent."""
    async with start() as running:
        path = f"/api/v1/targets/{name}/halt"
        assert (await ask(running, "POST", path, json=WHY))[0] == status
    assert world.commands == []


async def test_a_halt_needs_no_database(start: Start, settings: Settings, world: FakeWorld) -> None:
    """It reaches the bot within two seconds while someone else has the database locked."""
    database = settings.var / "reconciler" / "reconciler.db"
    async with start() as running:
        other = sqlite3.connect(Path(database), isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        try:
            began = clock.monotonic()
            for _ in range(3):
                status, placed = await ask(running, "POST", "/api/v1/targets/alpha/halt", json=WHY)
                assert (status, placed["acknowledged"], placed["stored"]) == (200, True, True)
            assert clock.monotonic() - began < 8
        finally:
            other.execute("ROLLBACK")
            other.close()
    assert world.commands == ["halt"] * 3


async def test_a_window_is_planned_and_ended(start: Start, with_tokens: Settings) -> None:
    """Maintenance is privileged: a viewer sees it, an operator orders it."""
    del with_tokens
    async with start() as running:
        path = "/api/v1/maintenance"
        body = {"target": "alpha", "reason": "upgrade", "seconds": 600}
        assert (await ask(running, "POST", path, VIEWER, json=body))[0] == 403
        status, window = await ask(running, "POST", path, OPERATOR, json=body)
        assert (status, window["owner"]) == (201, "operator-1")
        later = body | {"begins_at": "2026-01-01T00:00:00Z"}
        assert (await ask(running, "POST", path, OPERATOR, json=later))[0] == 409
        unknown = body | {"target": "nothing"}
        assert (await ask(running, "POST", path, OPERATOR, json=unknown))[0] == 422
        beyond = body | {"begins_at": "9999-12-31T23:59:59Z"}
        assert (await ask(running, "POST", path, OPERATOR, json=beyond))[0] in {409, 422}
        targets = (await ask(running, "GET", "/api/v1/targets", VIEWER))[1]["targets"]
        states = {target["name"]: target["automation"] for target in targets}
        assert (states["alpha"], states["paper"]) == ("maintenance", "acts")
        found = (await ask(running, "GET", path, VIEWER))[1]["maintenance"]
        assert [item["id"] for item in found] == [window["id"]]
        assert (await ask(running, "DELETE", f"{path}/{window['id']}", OPERATOR))[0] == 200
        for key in (window["id"], "x", "9" * 30, "-1", "²"):
            assert (await ask(running, "DELETE", f"{path}/{key}", OPERATOR))[0] == 404
        assert (await ask(running, "GET", path, VIEWER))[1]["maintenance"] == []


async def test_a_recurring_window_is_ordered_and_ended(start: Start, with_tokens: Settings) -> None:
    """Privileged like a single one; a schedule that makes no sense is named."""
    del with_tokens
    async with start() as running:
        path = "/api/v1/recurring-maintenance"
        body = {"target": "alpha", "reason": "patches", "every": "Sun 02:00", "seconds": 3600}
        assert (await ask(running, "POST", path, VIEWER, json=body))[0] == 403
        status, order = await ask(running, "POST", path, OPERATOR, json=body)
        assert (status, order["owner"], order["zone"]) == (201, "operator-1", "UTC")
        for wrong in (
            {"every": "Someday"},
            {"zone": "Mars"},
            {"target": "nothing"},
            {"every": "day 02:00", "seconds": 86400},
        ):
            status, refused = await ask(running, "POST", path, OPERATOR, json=body | wrong)
            assert status == 422
            assert f"`{[*wrong][-1]}`" in refused["detail"]
        for key in ("x", "99"):
            assert (await ask(running, "DELETE", f"{path}/{key}", OPERATOR))[0] == 404
        assert (await ask(running, "DELETE", f"{path}/{order['id']}", OPERATOR))[0] == 200
        history = (await ask(running, "GET", "/api/v1/past-maintenance", VIEWER))[1]
        (window,) = history["maintenance"]
        assert window["ended_by"] == "operator-1"


async def test_forgiving_is_an_admins(start: Start, with_tokens: Settings) -> None:
    """It lets budgets start again that kept a bot from being restarted again and again."""
    del with_tokens
    async with start() as running:
        path = "/api/v1/targets/alpha/reset-budget"
        assert (await ask(running, "POST", path, OPERATOR, json=WHY))[0] == 403
        assert (await ask(running, "POST", path, ADMIN, json=WHY))[1] == {"target": "alpha"}
        assert await actors(running, "budget_reset") == ["admin-1"]
        nothing = "/api/v1/targets/nothing/reset-budget"
        assert (await ask(running, "POST", nothing, ADMIN, json=WHY))[0] == 404

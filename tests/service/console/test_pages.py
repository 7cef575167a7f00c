"""What the pages show, what can be ordered on them, and by whom."""

import re
from datetime import timedelta
from typing import Any

import pytest

from tests.service.api.conftest import TOKENS, ask
from tests.service.console.conftest import Console, MoneyWorld, Serving
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.api.auth import Role
from trading_ops.console.forms import FORMS, HALT_ALL

LARGEST_PAGE = 100_000
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}'


async def holds_of(console: Console, bot: str = "alpha") -> list[dict[str, Any]]:
    _, page = await ask(console.running, "GET", "/api/v1/targets", TOKENS[Role.ADMIN])
    return next(target["holds"] for target in page["targets"] if target["name"] == bot)


async def test_a_thousand_bots_stay_usable(serving: Serving, world: MoneyWorld) -> None:
    """Each is on one page, each page is small, and Prometheus is asked for one page's lines."""
    async with serving(bots=1000) as console:
        browser = await console.browser()
        seen: list[str] = []
        number = 1
        while True:
            status, page = await browser.get(f"/console/fleet?page={number}")
            assert status == 200
            assert len(page.encode()) < LARGEST_PAGE
            names = re.findall(r'<tr id="bot-([^"]+)"', page)
            assert len(names) <= 50
            seen += names
            if f"page={number + 1}" not in page:
                break
            number += 1
        assert len(seen) == len(set(seen)) == 1001
        assert all(query.count("|") < 50 for query in world.ranges)
        _, page = await browser.get("/console/fleet?q=bot-0777")
        assert re.findall(r'<tr id="bot-([^"]+)"', page) == ["bot-0777"]
        for odd in ("page=0", "page=-1", "page=99999999999999999999", "page=x", "state=nothing"):
            assert (await browser.get(f"/console/fleet?{odd}"))[0] == 200
        for path in ("incidents", "alerts", "events", "maintenance", "do/run?target=alpha"):
            assert len((await browser.get(f"/console/{path}"))[1].encode()) < LARGEST_PAGE


async def test_every_part_of_the_api_is_documented_on_a_small_page(serving: Serving) -> None:
    async with serving() as console:
        browser = await console.browser(Role.VIEWER)
        _, page = await browser.get("/console/api")
        shown = ""
        for tag in re.findall(r'href="/console/api\?tag=(\w+)"', page):
            _, part = await browser.get(f"/console/api?tag={tag}")
            assert len(part.encode()) < LARGEST_PAGE
            shown += part
        _, document = await ask(console.running, "GET", "/api/v1/openapi.json", None)
        assert all(f"<code>{path}</code>" in shown for path in document["paths"])


async def test_money_comes_first(serving: Serving, world: MoneyWorld) -> None:
    """Amounts, their share of the limit, and what follows from them in words."""
    alpha = {"bot": "alpha"}
    world.money = {
        "trading_daily_loss": [({**alpha, "currency": "USD"}, 1234.5)],
        "trading_exposure": [({**alpha, "currency": "USD"}, 20000.0)],
        "trading_risk_limit_used_ratio": [
            ({**alpha, "limit": "daily_loss"}, 1.02),
            ({**alpha, "limit": "exposure"}, 0.4),
        ],
        "trading_position_drift": [({**alpha, "symbol": "BTC/USD"}, 0.25)],
    }
    async with serving(watched=True, grafana_url="http://grafana.example/ops/") as console:
        browser = await console.browser(Role.VIEWER)
        _, page = await browser.get("/console/fleet")
        assert "Money is at risk: 1 of 1 bots" in page
        assert "has reached its daily loss limit; disagrees with the venue on BTC/USD" in page
        for figure in ("1,234 USD", "102 %", "20,000 USD", "40 %", "<polyline"):
            assert figure in page, figure
        _, page = await browser.get("/console/bots/alpha")
        link = "http://grafana.example/ops/d/trading-ops-bot?var-bot=alpha&amp;from=now-1h&amp;to="
        assert link in page
        world.prometheus_down = True
        world.money = {}

        async def is_reported() -> bool:
            return "Prometheus does not answer" in (await browser.get("/console/fleet"))[1]

        await eventually(is_reported)


async def test_a_viewer_sees_all_and_orders_nothing(serving: Serving) -> None:
    """No link to a form, no form, and no order: the roles of the API."""
    async with serving() as console:
        viewer, operator = await console.browser(Role.VIEWER), await console.browser(Role.OPERATOR)
        for path in ("fleet", "bots/alpha", "incidents", "maintenance"):
            status, page = await viewer.get(f"/console/{path}")
            assert (status, "/console/do/" in page) == (200, False)
        csrf = re.findall(r'name="csrf" value="([^"]+)"', page)[0]
        for name in FORMS:
            assert (await viewer.get(f"/console/do/{name}?subject=alpha"))[0] == 403
            fields = {"subject": "alpha", "typed": "alpha", "reason": "x", "csrf": csrf}
            fields |= {"typed": HALT_ALL} if name == "halt-all" else {}
            assert (await viewer.post(f"/console/do/{name}", **fields))[0] == 403, name
        assert console.running.world.commands == []
        assert (await operator.get("/console/do/resume?subject=alpha"))[0] == 403
        assert "/console/do/halt?" in (await operator.get("/console/fleet"))[1]


async def test_halt_and_resume(serving: Serving) -> None:
    """With the name typed; sent twice it is one hold; the person's own name is kept."""
    async with serving() as console:
        browser = await console.browser(owner="Ada")
        status, page = await browser.order("halt", subject="alpha", typed="beta", reason="odd")
        assert (status, "to confirm" in page) == (422, True)
        assert await holds_of(console) == []
        key = "00000000-0000-0000-0000-000000000001"
        _, page = await browser.get("/console/do/halt?subject=alpha")
        csrf = re.findall(r'name="csrf" value="([^"]+)"', page)[0]
        for _ in range(2):
            fields = {"subject": "alpha", "typed": "ALPHA", "reason": "odd", "key": key}
            status, where = await browser.post("/console/do/halt", csrf=csrf, **fields)
            assert (status, where) == (303, "/console/fleet")
        (hold,) = await holds_of(console)
        assert (hold["id"], hold["owner"], hold["reason"]) == (key, "Ada (token admin-1)", "odd")
        _, page = await browser.get("/console/fleet")
        assert "has acknowledged that it is halted" in page
        assert "has acknowledged that it is halted" not in (await browser.get("/console/fleet"))[1]

        order = {"subject": "alpha", "typed": "alpha", "reason": "explained", "holds": key}
        assert (await browser.order("resume", **order))[0] == 303
        assert await holds_of(console) == []


async def test_halt_all(serving: Serving) -> None:
    """Each bot that takes orders, with the words typed."""
    async with serving(bots=3) as console:
        browser = await console.browser(Role.OPERATOR)
        assert (await browser.order("halt-all", typed="yes", reason="flash crash"))[0] == 422
        assert (await browser.order("halt-all", typed="Halt all", reason="flash crash"))[0] == 303
        assert console.running.world.commands.count("halt") == 4
        assert "All 4 bots have acknowledged" in (await browser.get("/console/fleet"))[1]


async def test_resume_takes_a_second_person_where_set(serving: Serving) -> None:
    """The first sees that it waits, the second approves on any page, then it runs."""
    async with serving(two_person_approval=True) as console:
        ada, bob = await console.browser(), await console.browser(Role.OPERATOR)
        await bob.order("halt", subject="alpha", typed="alpha", reason="odd")
        order = {"subject": "alpha", "typed": "alpha", "reason": "explained"}
        order["holds"] = (await holds_of(console))[0]["id"]
        status, page = await ada.order("resume", **order)
        assert (status, "no other operator has approved" in page) == (422, True)

        async def waits() -> list[str]:
            _, page = await bob.get("/console/events")
            return re.findall(r"/console/do/approve\?subject=([\w-]+)", page)

        (request,) = await eventually(waits)
        assert (await ada.order("approve", subject=request))[0] == 422
        assert (await bob.order("approve", subject=request))[0] == 303
        assert (await ada.order("resume", **order))[0] == 303
        assert await holds_of(console) == []


async def test_an_incident_in_the_hands_of_a_person(serving: Serving) -> None:
    """Acknowledge, remove that, snooze, run the action; the timeline shows who did it."""
    async with serving(observe_only=True) as console:
        browser = await console.browser()
        await console.running.break_it()
        incident = await eventually(console.running.incident)
        key = incident["id"]
        _, page = await browser.get("/console/incidents")
        assert f"/console/incidents/{key}" in page
        assert (await browser.order("acknowledge", subject=key, note="on it"))[0] == 303
        _, page = await browser.get(f"/console/incidents/{key}")
        assert "acknowledged by admin-1" in page
        assert "on it" in page
        assert (await browser.order("unacknowledge", subject=key))[0] == 303
        assert (await browser.order("snooze", subject=key, seconds="900"))[0] == 303
        _, page = await browser.get(f"/console/incidents/{key}")
        assert "snoozed by admin-1" in page
        assert page.count("<li><time") >= 4
        order = {"subject": "reconnect_broker", "target": "alpha", "reason": "deaf"}
        assert (await browser.order("run", **order))[0] == 303
        assert "Refused (observe_only)" in (await browser.get("/console/fleet"))[1]
        order["subject"] = "restart_component"
        status, page = await browser.order("run", **order)
        assert (status, "`params` must be exactly: component" in page) == (422, True)
        _, page = await browser.get(f"/console/incidents/{key}/post-mortem")
        assert "# Post-mortem: BotSick on alpha" in page
        assert "acknowledged" in page
        assert "/console/runbooks/BotSick" in (await browser.get(f"/console/incidents/{key}"))[1]


async def test_recurring_windows_are_listed(serving: Serving) -> None:
    """With when they come; their next window is one of the planned."""
    order = {"target": "alpha", "reason": "patches", "every": "Sun 02:00", "seconds": 3600}
    async with serving() as console:
        path = "/api/v1/recurring-maintenance"
        assert (await ask(console.running, "POST", path, TOKENS[Role.OPERATOR], json=order))[
            0
        ] == 201
        browser = await console.browser(Role.VIEWER)
        _, page = await browser.get("/console/maintenance")
        assert "Recurring windows" in page
        assert "Sun 02:00 UTC" in page
        assert page.count("patches") == 2


async def test_maintenance_and_pause(serving: Serving) -> None:
    """Start and end; every page says so meanwhile."""
    async with serving() as console:
        browser = await console.browser(Role.OPERATOR)
        order = {"target": "alpha", "seconds": "3600", "reason": "upgrade"}
        assert (await browser.order("maintenance", **order))[0] == 303
        assert (await browser.order("pause", seconds="900", reason="looking"))[0] == 303
        _, page = await browser.get("/console/events")
        assert "Automation is paused" in page
        assert "of alpha by operator-1" in page
        _, page = await browser.get("/console/maintenance")
        (window,) = re.findall(r"/console/do/end-maintenance\?subject=(\d+)", page)
        (most, elapsed) = re.findall(r'<progress [^>]*max="([\d.]+)" value="([\d.]+)"', page)[0]
        assert float(most) == 3600 > float(elapsed)
        assert (await browser.order("end-maintenance", subject=window))[0] == 303
        assert (await browser.order("unpause"))[0] == 303
        _, page = await browser.get("/console/maintenance")
        assert "No window is open or planned." in page
        assert "Automation is running." in re.sub(r"\s+", " ", page)
        assert (await browser.order("maintenance", seconds="60", target="nothing"))[0] == 422


async def test_the_worst_alert_comes_first(serving: Serving, world: MoneyWorld) -> None:
    severities = ("info", "unknown", "critical", "warning", "emergency")
    world.foreign = [
        {"alertname": f"Of{severity}", "severity": severity} for severity in severities
    ]
    async with serving() as console:
        _, page = await (await console.browser()).get("/console/alerts?state=all")
    shown = re.findall(r'data-label="Alert">Of(\w+)', page)
    assert shown == ["emergency", "critical", "warning", "info", "unknown"]


async def test_a_manual_silence_of_a_host_is_shown_with_its_owner(
    serving: Serving, world: MoneyWorld
) -> None:
    """It covers no bot, and no one has acknowledged the alert."""
    world.labels = {"alertname": "TradingHostDiskLow", "severity": "warning", "instance": "h1"}
    matcher = {"name": "instance", "value": "h1", "isRegex": False, "isEqual": True}
    world.silences.silences["s1"] = {
        "id": "s1",
        "matchers": [matcher],
        "startsAt": clock.now().isoformat(),
        "endsAt": (clock.now() + timedelta(hours=1)).isoformat(),
        "createdBy": "ben",
        "comment": "a larger disk is ordered",
        "status": {"state": "active"},
    }
    async with serving(poll_interval_seconds=0.3) as console:
        browser = await console.browser()
        await console.running.break_it()

        async def owned() -> str | None:
            _, page = await browser.get("/console/alerts?alertname=TradingHostDiskLow")
            by = re.search(r'data-label="Silenced by">(.*?)</td>', page)
            return page if by is not None and "ben" in by[1] else None

        page = await eventually(owned)
        assert "acknowledgement" not in page
        assert "a larger disk is ordered" in page


async def test_what_others_name_is_inert(serving: Serving, world: MoneyWorld) -> None:
    """Labels, annotations, reasons and filters: text, whatever is in them."""
    world.labels |= {"component": HOSTILE, "strategy": HOSTILE}
    world.foreign = [{"alertname": HOSTILE, "severity": HOSTILE, "bot": HOSTILE}]
    async with serving(observe_only=True) as console:
        browser = await console.browser()
        await console.running.break_it()
        incident = await eventually(console.running.incident)
        await browser.order("halt", subject="alpha", typed="alpha", reason=HOSTILE)
        await browser.order("acknowledge", subject=incident["id"], note=HOSTILE)
        query = {"q": HOSTILE, "alertname": HOSTILE, "kind": HOSTILE, "target": HOSTILE}
        seen = 0
        for path in (
            "fleet",
            "bots/alpha",
            "incidents",
            f"incidents/{incident['id']}",
            f"incidents/{incident['id']}/post-mortem",
            "alerts?state=all",
            "events",
            "do/resume?subject=alpha",
        ):
            _, page = await browser.get(f"/console/{path}")
            assert "<script>alert" not in page
            assert "<img" not in page
            assert "49" not in re.findall(r">(\d+)<", page)
            seen += "&lt;script&gt;alert" in page
        assert seen >= 4
        for path in ("fleet", "incidents", "alerts", "events", "do/halt"):
            async with browser.client.get(
                f"/console/{path}", params={**query, "subject": HOSTILE, "next": HOSTILE}
            ) as response:
                page = await response.text()
                assert response.status in {200, 404, 422}
                assert "<script>alert" not in page


@pytest.mark.parametrize(
    "path",
    ["bots/nothing", "incidents/nothing", "incidents/nothing/post-mortem", "runbooks/nothing", "x"],
)
async def test_what_is_not_there(serving: Serving, path: str) -> None:
    async with serving() as console:
        browser = await console.browser()
        assert (await browser.get(f"/console/{path}"))[0] == 404


async def test_a_fresh_page_follows_an_order(serving: Serving) -> None:
    """What is shared for a second is read again after an order of one's own."""
    async with serving() as console:
        browser = await console.browser()
        await browser.get("/console/bots/alpha")
        await browser.order("reduce", subject="alpha", reason="odd")
        _, page = await browser.get("/console/bots/alpha")
        assert "No hold restricts this bot." not in page


async def test_messages_and_backups(serving: Serving) -> None:
    """What was stored is listed with what can be done about it; a refused order says why."""
    async with serving() as console:
        browser = await console.browser(owner="Ada")
        _, page = await browser.get("/console/messages")
        assert "No message was stored." in page
        status, page = await browser.order("test-message", channel="nothing")
        assert (status, 'role="alert"' in page) == (422, True)
        _, page = await browser.get("/console/backups")
        assert "No backup is known." in page
        assert "/console/do/backup" in page
        assert (await browser.order("retry-message", subject="nothing"))[0] == 422


async def test_jobs_are_paused_and_resumed(serving: Serving) -> None:
    """Each with its next run; the page of one says what it would do now."""
    async with serving() as console:
        browser = await console.browser(owner="Ada")
        _, page = await browser.get("/console/jobs")
        assert "audit_verify" in page
        await browser.order("pause-job", subject="audit_verify", reason="slow disk")
        _, page = await browser.get("/console/jobs")
        assert "Ada (token" in page
        assert "slow disk" in page
        _, page = await browser.get("/console/jobs/audit_verify")
        assert "verify the audit log" in page
        assert "No runs yet." in page
        await browser.order("resume-job", subject="audit_verify")
        _, page = await browser.get("/console/jobs")
        assert "slow disk" not in page
        assert (await browser.get("/console/jobs/nothing"))[0] == 404


async def test_reports_capacity_and_readiness(serving: Serving) -> None:
    """What there is to say of an installation that has just started; an odd day is refused."""
    async with serving() as console:
        browser = await console.browser()
        _, page = await browser.get("/console/reports?period=weekly")
        assert "Weekly report" in page
        assert (await browser.get("/console/reports?date=soon"))[0] == 422
        status, page = await browser.order("send-report", subject="daily")
        assert (status, "messages are off" in page) == (422, True)
        _, page = await browser.get("/console/capacity")
        assert "postgresql-connections" in page
        _, page = await browser.get("/console/readiness")
        assert "No bot is moving" in page
        filters = "kind=trade&severity=warning&since=2026-03-01T14:00:00Z"
        _, page = await browser.get(f"/console/bot-events?{filters}")
        assert "No event matches." in page
        assert (await browser.get("/console/bot-events?since=noon"))[0] == 422

"""The console in Chromium: every page and order, both themes, a phone and a desktop, keys only."""

import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, WebSocket, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.browser.conftest import SHOTS, Served, log_in
from tests.browser.served import AT_LIMIT, BOTS, DISCONNECTED
from trading_ops import clock
from trading_ops.api.auth import Role

pytestmark = pytest.mark.browser

PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1440, "height": 900}
STALE_WITHIN = 3.0
MORE = 60_000.0
"""Milliseconds for what only has to come: this machine may be busy."""

CLIENTS = 20
TWO_CLOSES_MS = 7_000.0
"""Within this a page that gives up connections too soon gives up two."""

NOTE_STALE = """() => {
  window.staleAt = null;
  const box = document.getElementById("stale");
  new MutationObserver(() => { if (!box.hidden) { window.staleAt ??= Date.now(); } })
    .observe(box, { attributes: true });
}"""

PAGES = {
    "fleet": "fleet",
    "bot": f"bots/{DISCONNECTED}",
    "incidents": "incidents",
    "alerts": "alerts",
    "maintenance": "maintenance",
    "events": "events",
    "messages": "messages",
    "backups": "backups",
    "bot-events": "bot-events",
    "reports": "reports",
    "jobs": "jobs",
    "job": "jobs/audit_verify",
    "capacity": "capacity",
    "readiness": "readiness",
    "api": "api?tag=targets",
    "runbook": "runbooks/TradingBotBrokerDisconnected",
    "halt": f"do/halt?subject={DISCONNECTED}",
    "halt-all": "do/halt-all",
    "run": f"do/run?target={DISCONNECTED}",
    "not-there": "bots/nothing",
}

FAULTS = Path(__file__).with_name("faults.js").read_text(encoding="utf-8")


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page on which nothing may go wrong: no error, no refused resource, no script of others."""
    context = chromium.new_context(viewport=DESKTOP, color_scheme="light")  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(MORE)
    expect.set_options(timeout=MORE)
    messages: list[str] = []
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on(
        "console",
        lambda message: (
            messages.append(message.text) if "Content Security" in message.text else None
        ),
    )
    page.on("dialog", lambda dialog: messages.append(dialog.message))
    yield page
    assert messages == []
    assert page.evaluate("window.hacked") is None
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page(page: Page, served: Served, theme: Any, size: Any) -> None:
    """It can be read and used; the pictures are for human review."""
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size(size)
    page.goto(f"{served.url}/login")
    faults = {"login": page.evaluate(FAULTS)}
    SHOTS.mkdir(parents=True, exist_ok=True)
    kind = f"{theme}-{size['width']}"
    page.screenshot(path=SHOTS / f"login-{kind}.png")
    log_in(page, served)
    for name, path in PAGES.items():
        page.goto(f"{served.url}/{path}")
        faults[name] = page.evaluate(FAULTS)
        page.screenshot(path=SHOTS / f"{name}-{kind}.png", full_page=name == "fleet")
    page.goto(f"{served.url}/incidents")
    page.get_by_role("link", name="TradingBotMemoryHigh", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("TradingBotMemoryHigh")
    faults["hostile"] = page.evaluate(FAULTS)
    page.goto(f"{served.url}/incidents")
    page.get_by_role("link", name="TradingBotBrokerDisconnected", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("TradingBotBrokerDisconnected")
    faults["incident"] = page.evaluate(FAULTS)
    page.screenshot(path=SHOTS / f"incident-{kind}.png")
    page.get_by_role("link", name="Post-mortem draft").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Post-mortem draft")
    faults["post-mortem"] = page.evaluate(FAULTS)
    page.screenshot(path=SHOTS / f"post-mortem-{kind}.png")
    assert {name: found for name, found in faults.items() if found} == {}


def test_money_at_risk_is_seen_first(page: Page, served: Served) -> None:
    log_in(page, served, Role.VIEWER)
    verdict = page.get_by_role("region", name="Money at risk")
    expect(verdict).to_contain_text("Money is at risk")
    expect(verdict).to_contain_text(DISCONNECTED)
    rows = page.locator("table.rows tbody tr")
    expect(rows).to_have_count(len(BOTS))
    expect(rows.first).to_contain_text(DISCONNECTED)
    expect(page.locator(f"#bot-{AT_LIMIT}")).to_contain_text("86 %")
    expect(page.get_by_role("link", name=re.compile("Halt"))).to_have_count(0)
    link = page.get_by_role("link", name="Overview in Grafana")
    expect(link).to_have_attribute("href", re.compile(r"^http://grafana\.example:3000/d/"))


def test_orders_open_in_place(page: Page, served: Served) -> None:
    """Halt with the name typed, reduce, all the others; the result is shown."""
    log_in(page, served, owner="Ada")
    page.get_by_role("link", name="Halt… momentum").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Halt momentum")
    dialog.get_by_role("link", name="Cancel").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("link", name="Halt… momentum").click()
    dialog.get_by_label("Reason").fill("odd fills")
    dialog.get_by_label("Type momentum").fill("wrong")
    dialog.get_by_role("button", name="Halt").click()
    expect(page.get_by_role("alert").filter(has_text="to confirm")).to_be_visible()
    page.get_by_label("Type momentum").fill("momentum")
    page.get_by_role("button", name="Halt").click()
    expect(page.get_by_role("status").filter(has_text="is halted")).to_be_visible()
    expect(page.locator("#bot-momentum .badge.halted")).to_be_visible()
    for width in (360, 800, 1000, 1200, 1320, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(FAULTS) == [], width
    page.screenshot(path=SHOTS / "after-halt.png")

    page.get_by_role("link", name="Reduce… pairs").click()
    dialog.get_by_label("Reason").fill("drift")
    dialog.get_by_role("button", name="Set to reduce-only").click()
    expect(page.locator("#bot-pairs .badge.reducing")).to_be_visible()


def test_maintenance_has_a_countdown(page: Page, served: Served) -> None:
    """Start, pause, and end both again."""
    log_in(page, served, owner="Ada")
    dialog = page.get_by_role("dialog")
    page.get_by_role("link", name="Maintenance", exact=True).first.click()
    page.get_by_role("link", name="Begin a window").click()
    dialog.get_by_label("Target").fill("hedge")
    dialog.get_by_label("Reason").fill("upgrade")
    dialog.get_by_role("button", name="Begin").click()
    expect(page.locator("time.countdown").first).to_have_text(re.compile(r"in \d:\d\d:\d\d"))
    page.get_by_role("link", name="Pause automation").click()
    dialog.get_by_label("Reason").fill("looking")
    dialog.get_by_role("button", name="Pause").click()
    expect(page.locator("main")).to_contain_text("Automation is paused by Ada (token admin-1)")
    page.screenshot(path=SHOTS / "maintenance-open.png")
    page.get_by_role("link", name="Resume automation").click()
    dialog.get_by_role("button", name="Resume automation").click()
    expect(page.locator("main")).to_contain_text("Automation is running.")
    page.get_by_role("link", name="End… the window of hedge").click()
    dialog.get_by_role("button", name="End the window").click()
    expect(page.locator("main")).to_contain_text("No window is open or planned.")


def test_an_incident_is_taken_and_given_back(page: Page, served: Served) -> None:
    """Acknowledge, remove that, snooze, and run an action."""
    log_in(page, served, owner="Ada")
    dialog = page.get_by_role("dialog")
    page.get_by_role("link", name="Incidents", exact=True).first.click()
    page.get_by_role("link", name="Acknowledge… TradingBotDailyLossHigh").click()
    dialog.get_by_label("Note").fill("on it")
    dialog.get_by_role("button", name="Acknowledge").click()
    row = page.locator("tr", has_text="TradingBotDailyLossHigh")
    expect(row).to_contain_text("acknowledged by Ada")
    row.get_by_role("link", name="TradingBotDailyLossHigh", exact=True).click()
    page.get_by_role("link", name="Remove acknowledgement").click()
    dialog.get_by_role("button", name="Remove").click()
    page.get_by_role("link", name="Snooze").click()
    dialog.get_by_role("button", name="Snooze").click()
    expect(page.locator("main")).to_contain_text("snoozed by Ada")
    page.get_by_role("link", name="Run an action").click()
    dialog.get_by_role("link", name="reconnect broker").click()
    dialog.get_by_label("Reason").fill("deaf")
    dialog.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert").filter(has_text="Refused (observe_only)")).to_be_visible()


def test_resume_takes_a_second_person(page: Page, served: Served, chromium: Browser) -> None:
    """The request is on every page of the other person, who approves it there."""
    log_in(page, served)
    page.goto(f"{served.url}/do/halt?subject=hedge")
    page.get_by_label("Reason").fill("odd")
    page.get_by_label("Type hedge").fill("hedge")
    page.get_by_role("button", name="Halt").click()

    def resume() -> None:
        page.goto(f"{served.url}/bots/hedge")
        page.get_by_role("link", name="Resume").click()
        page.get_by_role("dialog").get_by_label("Reason").fill("explained")
        page.get_by_role("dialog").get_by_label("Type hedge").fill("hedge")
        page.get_by_role("button", name="Release the holds").click()

    resume()
    expect(page.get_by_role("alert").filter(has_text="no other operator")).to_be_visible()
    context = chromium.new_context()
    other = context.new_page()
    other.set_default_timeout(MORE)
    log_in(other, served, Role.OPERATOR)
    waiting = other.get_by_role("region", name="Requests that wait for approval")
    expect(waiting).to_contain_text("of hedge")
    waiting.get_by_role("link", name=re.compile("Approve")).click()
    other.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(waiting).to_have_count(0)
    context.close()
    resume()
    expect(page.locator("main")).to_contain_text("No hold restricts this bot.")


def test_with_keys_only(page: Page, served: Served) -> None:
    """Log in, skip to the content, filter, halt, close a form and log out."""
    from tests.service.api.conftest import TOKENS  # noqa: PLC0415

    keys = page.keyboard
    page.goto(f"{served.url}/login")
    keys.type(TOKENS[Role.ADMIN])  # the field has the focus
    keys.press("Enter")
    page.wait_for_url("**/console/fleet")
    keys.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    keys.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    keys.press("/")
    keys.type("scalper")
    keys.press("Enter")
    expect(page.locator("table.rows tbody tr")).to_have_count(1)
    _tab_to(page, "Reduce… scalper")
    keys.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    keys.press("Escape")
    expect(dialog).to_be_hidden()
    _tab_to(page, "Halt… scalper")
    keys.press("Enter")
    expect(dialog.get_by_label("Reason")).to_be_focused()
    keys.type("odd")
    keys.press("Tab")
    keys.type("scalper")
    keys.press("Enter")
    expect(page.get_by_role("status").filter(has_text="is halted")).to_be_visible()
    for _ in range(2):
        _tab_to(page, "admin-1")
        keys.press("Enter")
        if page.locator("details.me").get_attribute("open") is not None:
            break
    _tab_to(page, "Log out")
    keys.press("Enter")
    page.wait_for_url("**/console/login")


def _tab_to(page: Page, name: str) -> None:
    """Press Tab until what has this name has the focus, and a visible mark of it."""
    for _ in range(150):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "() => { const element = document.activeElement;"
            " return [element.getAttribute('aria-label') || element.textContent.trim(),"
            " getComputedStyle(element).outlineStyle]; }"
        )
        if found[0] == name:
            assert found[1] != "none"
            return
    raise AssertionError(f"no {name} among what has the focus in turn")


def test_the_theme_is_chosen_and_kept(page: Page, served: Served) -> None:
    log_in(page, served)

    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = ground()
    page.locator("details.me summary").click()
    page.get_by_role("button", name="Dark or light").click()
    dark = ground()
    assert dark != light
    page.goto(f"{served.url}/events")
    assert ground() == dark


def test_events_follow(page: Page, served: Served, chromium: Browser) -> None:
    """What another person does appears without a reload, and the focus stays where it was."""
    log_in(page, served)
    bots = page.context.new_page()
    bots.set_default_timeout(MORE)
    bots.goto(f"{served.url}/bot-events")
    page.goto(f"{served.url}/events")
    first = page.locator("table.rows tbody tr").first.get_attribute("id")
    page.get_by_role("link", name="Events", exact=True).focus()
    context = chromium.new_context()
    other = context.new_page()
    other.set_default_timeout(MORE)
    log_in(other, served, Role.OPERATOR)
    other.goto(f"{served.url}/do/reduce?subject=grid-1")
    other.get_by_label("Reason").fill("quiet market")
    other.get_by_role("button", name="Set to reduce-only").click()
    expect(page.locator("table.rows tbody")).to_contain_text("quiet market")
    assert page.locator("table.rows tbody tr").first.get_attribute("id") != first
    expect(page.get_by_role("link", name="Events", exact=True)).to_be_focused()
    bots.bring_to_front()
    expect(bots.locator("table.rows tbody")).to_contain_text("reduce was carried out")
    bots.close()
    context.close()


def test_a_dead_server_is_shown_at_once_and_its_return_too(page: Page, served: Served) -> None:
    """Killed or frozen: a loud mark within three seconds; back and logged in without a click."""
    log_in(page, served)
    age, stale = page.locator("#age"), page.locator("#stale")
    expect(age).to_have_text(re.compile("Live"))
    for ends in (signal.SIGKILL, signal.SIGSTOP):
        began = time.monotonic()
        served.signal(ends)
        stale.wait_for(state="visible")
        took = time.monotonic() - began
        sys.stdout.write(f"{ends.name}: stale after {took:.2f} s\n")
        expect(stale).to_contain_text("STALE")
        assert page.title().startswith("STALE")
        page.screenshot(path=SHOTS / f"stale-{ends.name}.png")
        assert took < STALE_WITHIN
        if ends is signal.SIGKILL:
            served.start()
        else:
            served.signal(signal.SIGCONT)
        stale.wait_for(state="hidden")
        expect(age).to_have_text(re.compile("Live"))
        assert not page.title().startswith("STALE")
        expect(age).to_have_text(re.compile("data [01] s"))


def test_a_page_that_cannot_be_refreshed_is_stale(page: Page, served: Served) -> None:
    """Ticks arrive, but what is shown is old; as soon as a refresh is answered it is live."""
    log_in(page, served)
    age, stale = page.locator("#age"), page.locator("#stale")
    expect(age).to_have_text(re.compile("Live"))
    answers: list[Callable[[Route], None]] = [
        lambda route: route.abort(),
        lambda route: route.fulfill(status=503, body="<p>busy"),
    ]
    for answer in answers:
        page.route("**/console/fleet", answer)
        stale.wait_for(state="visible")
        expect(stale).to_contain_text("does not answer with this page")
        page.unroute("**/console/fleet")
        stale.wait_for(state="hidden")
        expect(age).to_have_text(re.compile("Live"))


def test_refreshes_that_fail_are_not_repeated_at_once(page: Page, served: Served) -> None:
    """Ticks arrive twice a second; a page that is refused asks again after two seconds."""
    log_in(page, served)
    expect(page.locator("#age")).to_have_text(re.compile("Live"))
    page.route("**/console/fleet", lambda route: route.fulfill(status=503, body="<p>busy"))
    asked = []
    for _ in range(5):
        with page.expect_response(lambda answer: answer.status == 503, timeout=MORE):
            pass
        asked.append(page.evaluate("live.askedAt"))
    page.unroute("**/console/fleet")
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert min(gaps) >= 2000, gaps


def test_a_filter_with_the_focus_does_not_stop_the_refresh(page: Page, served: Served) -> None:
    """A field keeps the focus after a tap; the page is live all the same."""
    log_in(page, served)
    page.locator("main input:visible, main select:visible").first.focus()
    shown = page.evaluate("live.shownAt")
    page.wait_for_function("shown => live.shownAt > shown", arg=shown, timeout=MORE)
    assert page.evaluate("document.activeElement.nodeName") in ("INPUT", "SELECT")


def test_a_slow_connection_is_not_given_up(page: Page, served: Served) -> None:
    """While the server is frozen, a page opens one new connection and waits for it."""
    log_in(page, served)
    expect(page.locator("#age")).to_have_text(re.compile("Live"))
    opened: list[WebSocket] = []

    def note(socket: WebSocket) -> None:
        opened.append(socket)

    page.on("websocket", note)
    try:
        with page.expect_event("websocket", timeout=MORE):
            served.signal(signal.SIGSTOP)
        with (
            pytest.raises(PlaywrightTimeout),
            page.expect_event("websocket", timeout=TWO_CLOSES_MS),
        ):
            pass
    finally:
        served.signal(signal.SIGCONT)
    page.locator("#stale").wait_for(state="hidden")
    assert len(opened) == 1


def test_twenty_pages_are_stale_at_once_and_come_back(page: Page, served: Served) -> None:
    """The server is killed: each shows it within three seconds, and each its return."""
    log_in(page, served)
    pages = [page, *(page.context.new_page() for _ in range(CLIENTS - 1))]
    for tab in pages[1:]:
        tab.goto(f"{served.url}/fleet")
    for tab in pages:
        expect(tab.locator("#age")).to_have_text(re.compile("Live"))
        tab.evaluate(NOTE_STALE)
    killed_at = clock.timestamp()
    served.signal(signal.SIGKILL)
    late = []
    for tab in pages:
        tab.locator("#stale").wait_for(state="visible")
        late.append(tab.evaluate("window.staleAt") / 1000 - killed_at)
    sys.stdout.write(f"{CLIENTS} pages: stale after {min(late):.2f} to {max(late):.2f} s\n")
    assert max(late) < STALE_WITHIN
    served.start()
    for tab in pages:
        tab.bring_to_front()
        tab.locator("#stale").wait_for(state="hidden")
        expect(tab.locator("#age")).to_have_text(re.compile("Live"))

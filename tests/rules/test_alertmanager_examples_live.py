"""The examples on a real Alertmanager: what each service receives, and when.

Only addresses and secrets are of the test; templates are rendered by Alertmanager itself.
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.rules.example_receivers import EXAMPLES, TOKEN, placed_here, run_services
from tests.rules.receivers import run_receivers
from tests.rules.running_alertmanager import RunningAlertmanager, start_alertmanager
from tests.waiting import PATIENCE

DEADLINE = 15.0 * PATIENCE
RUNBOOK = "https://runbooks.example/TradingBotDown.md"
BOARD = "https://boards.example/d/overview"
INCIDENT = "https://boards.example/d/trading-ops-recovery?var-bot=alpha"
ALERT = {
    "alertname": "TradingBotDown",
    "bot": "alpha",
    "venue": "paper",
    "severity": "critical",
    "page_after": "0s",
}
TITLE = "[FIRING] TradingBotDown bot=alpha venue=paper"
PATHS = {
    "slack": f"/slack/{TOKEN}",
    "telegram": "/telegram/botWRITE-YOUR-TOKEN-HERE/sendMessage",
    "discord": "/at/api/webhooks/WRITE-YOURS-HERE",
    "pagerduty": "/pagerduty",
    "opsgenie": "/opsgenie/v2/alerts",
    "pager-webhook": "/at/api/alertmanager",
    "sms": "/at/alertmanager",
}
BEARER = {"pager-webhook": f"Bearer {TOKEN}", "sms": f"Bearer {TOKEN}"}


@pytest.mark.parametrize("name", PATHS)
async def test_a_notification_says_what_it_is_and_where_to_look(tmp_path: Path, name: str) -> None:
    """The runbook, the board and the incident are links; what is in a label is no markup."""
    text = (EXAMPLES / f"{name}.yml").read_text(encoding="utf-8")
    # Amazon's needs Amazon.
    text = re.sub(r"    sns_configs:\n(?:      .*\n)+", "", text)
    text += "" if "group_wait" in text else "\n"
    text = text.replace("route:\n", "route:\n  group_wait: 0s\n")
    async with run_services() as services:
        config = placed_here(tmp_path / "am", text, services.address)
        async with start_alertmanager(config) as alertmanager:
            await alertmanager.post(ALERT)
            path, authorization, body = await asyncio.wait_for(services.requests.get(), DEADLINE)
    assert path == PATHS[name]
    if name in BEARER:
        assert authorization == BEARER[name]
    posted = json.dumps(body)
    for link in (RUNBOOK, BOARD):
        assert link in posted
    if name not in BEARER:  # Alertmanager's own JSON, in which nothing is rendered
        assert INCIDENT in posted.replace("\\u0026", "&")
        CHECKS[name](body)


def check_slack(body: dict[str, Any]) -> None:
    """Angle brackets would be a link, an operator or a channel."""
    (attachment,) = body["attachments"]
    assert attachment["title"] == TITLE
    assert attachment["title_link"] == RUNBOOK
    assert f"<{RUNBOOK}|Runbook>" in attachment["text"]
    assert f"<{INCIDENT}|Incident>" in attachment["text"]
    assert "What &lt;b&gt;happened&lt;/b&gt;." in attachment["text"]


def check_telegram(body: dict[str, Any]) -> None:
    """Telegram refuses a message with markup that it does not know."""
    assert body["parse_mode"] == "HTML"
    assert f'<a href="{RUNBOOK}">Runbook</a>' in body["text"]
    assert f'<a href="{INCIDENT}">Incident</a>' in body["text"]
    assert "What &lt;b&gt;happened&lt;/b&gt;." in body["text"]
    assert "<b>FIRING</b> TradingBotDown" in body["text"]


def check_discord(body: dict[str, Any]) -> None:
    """Its links are Markdown's."""
    (embed,) = body["embeds"]
    assert embed["title"] == TITLE
    assert f"[Incident]({INCIDENT})" in embed["description"]


def check_pagerduty(body: dict[str, Any]) -> None:
    """One line to read out, and links to follow."""
    assert body["routing_key"] == TOKEN
    assert body["payload"]["summary"] == f"{TITLE}: A summary."
    assert body["payload"]["severity"] == "critical"
    assert body["payload"]["group"] == "alpha"
    assert body["client_url"] == INCIDENT
    links = {link["text"]: link["href"] for link in body["links"]}
    assert links == {"Runbook": RUNBOOK, "Board": BOARD, "Incident": INCIDENT}


def check_opsgenie(body: dict[str, Any]) -> None:
    """Critical is its highest priority."""
    assert body["message"] == TITLE
    assert body["priority"] == "P1"
    assert body["details"]["incident"] == INCIDENT


CHECKS = {
    "slack": check_slack,
    "telegram": check_telegram,
    "discord": check_discord,
    "pagerduty": check_pagerduty,
    "opsgenie": check_opsgenie,
}

ALWAYS = "      - weekdays: ['sunday:saturday']\n"
NEVER = "      - years: ['1970']\n"


@pytest.mark.parametrize(("hours", "receiver"), [(ALWAYS, "chat"), (NEVER, "mail")])
async def test_a_warning_is_for_the_chat_by_day_and_for_the_mail_by_night(
    tmp_path: Path, hours: str, receiver: str
) -> None:
    """And the pager rings for what is critical at any hour; no one hears twice."""
    text = (EXAMPLES / "by-severity-and-hour.yml").read_text(encoding="utf-8")
    text, replaced = re.subn(r"      - weekdays: .*\n(?:        .*\n)+", hours, text)
    assert replaced == 1
    async with run_services() as services, run_receivers() as receivers:
        text = text.replace("smtp.example.invalid:587", receivers.smarthost)
        text = re.sub(r"  smtp_auth_.*\n", "", text)
        text = text.replace("http://127.0.0.1:8431", f"http://{services.address}")
        text = text.replace("\nglobal:\n", "\nglobal:\n  smtp_require_tls: false\n")
        config = placed_here(tmp_path / "am", text, services.address)
        async with start_alertmanager(config) as alertmanager:
            await post_both(alertmanager)
            calls: set[tuple[str, str]] = set()
            while len(calls) < (4 if receiver == "chat" else 3):
                path, _, body = await asyncio.wait_for(services.requests.get(), DEADLINE)
                way = path.split("/")[1]
                calls.add((way, "Critical" if "TradingBotDown" in json.dumps(body) else "Warning"))
            mailed = []
            if receiver == "mail":
                mail = await asyncio.wait_for(receivers.mails.get(), DEADLINE)
                assert "https://runbooks.example/TradingBotOrdersSlow.md" in mail.body("plain")
                assert INCIDENT in mail.body("plain")
                mailed.append(mail.subject)
            # Sent to the pager after all of them: everything else that was due has been sent.
            await alertmanager.post(ALERT | {"alertname": "Mark", "bot": "beta"})
            while True:
                path, _, body = await asyncio.wait_for(services.requests.get(), DEADLINE)
                if path == "/pagerduty":
                    break
                assert path.startswith("/api/v1/webhook")
    assert receivers.mails.empty()
    reconciler = {("api", "Critical"), ("api", "Warning")}
    chat = {("slack", "Warning")} if receiver == "chat" else set()
    assert calls == reconciler | {("pagerduty", "Critical")} | chat
    assert mailed == ([] if chat else ["[FIRING] TradingBotOrdersSlow bot=alpha venue=paper"])


async def post_both(alertmanager: RunningAlertmanager) -> None:
    """Post one alert that is critical and one that is not."""
    await alertmanager.post(ALERT)
    slow = {"alertname": "TradingBotOrdersSlow", "severity": "warning"}
    await alertmanager.post(ALERT | slow)

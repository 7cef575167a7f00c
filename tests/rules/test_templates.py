"""What is hostile in a label or an annotation stays text, in every template and its medium.

Rendered by amtool; test_alertmanager_examples_live.py shows that Alertmanager does the same.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.rules.configuration import ALERTMANAGER, run_tool

HOSTILE = "\"><script>x()</script><!channel> & 'a' </b>"
BOT = "alpha\"&var-x=<b>'"
DATA: dict[str, Any] = {
    "receiver": "oncall",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "TradingBotDown", "bot": BOT, "venue": HOSTILE},
            "annotations": {
                "summary": "A summary.",
                "description": HOSTILE,
                "runbook_url": "https://runbooks.example/TradingBotDown.md",
                "dashboard_url": "https://boards.example/d/overview?var-bot=a",
            },
            "startsAt": "2026-01-02T03:04:05Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://prometheus.example/graph",
            "fingerprint": "0123456789abcdef",
        }
    ],
    "groupLabels": {},
    "commonLabels": {"alertname": "TradingBotDown", "bot": BOT, "venue": HOSTILE},
    "commonAnnotations": {},
    "externalURL": "https://alertmanager.example",
}
INCIDENT = "https://boards.example/d/trading-ops-recovery?var-bot="


def rendered(folder: Path, name: str, kind: str, **change: Any) -> str:
    """Render a template as text or as HTML."""
    data = folder / "data.json"
    data.write_text(json.dumps(DATA | change), encoding="utf-8")
    return run_tool(
        "amtool",
        "template",
        "render",
        f"--template.glob={ALERTMANAGER}/templates/*.tmpl",
        f"--template.type={kind}",
        f"--template.data={data}",
        f'--template.text={{{{ template "{name}" . }}}}',
    ).stdout


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("trading.mail.html", "html"),
        ("trading.telegram.html", "html"),
        ("trading.telegram.html", "text"),
        ("trading.slack.text", "text"),
    ],
)
def test_markup_in_a_value_is_no_markup(tmp_path: Path, name: str, kind: str) -> None:
    """Neither a script, nor a tag, nor the name of a whole channel."""
    text = rendered(tmp_path, name, kind)
    for markup in ("<script", "<!channel", "</b> &", "<b>'"):
        assert markup not in text
    assert "&lt;script" in text


@pytest.mark.parametrize(
    ("common", "name"),
    [
        ({}, "multiple alerts"),
        ({"alertname": "TradingAlertPersists"}, "TradingAlertPersists"),
        ({"alertname": "TradingAlertPersists", "origin": "TradingBotDown"}, "TradingBotDown"),
    ],
)
def test_a_subject_always_has_a_name(tmp_path: Path, common: dict[str, str], name: str) -> None:
    """Also when the alerts of one mail have nothing in common."""
    subject = rendered(tmp_path, "trading.mail.subject", "text", commonLabels=common)
    assert subject.strip() == f"[FIRING] {name}"


def test_a_mail_is_short_however_much_was_posted(tmp_path: Path) -> None:
    """20 alerts in full, a line for each of the next 180, and long values are cut."""
    (alert,) = DATA["alerts"]
    long = "x" * 3_000
    name = {"alertname": long, "bot": long}
    labels = {f"label{number}": long for number in range(50)} | name
    large = alert | {"labels": labels, "annotations": dict.fromkeys(alert["annotations"], long)}
    text = rendered(
        tmp_path,
        "trading.mail.text",
        "text",
        alerts=[large] * 20 + [alert | {"labels": name}] * 181,
    )
    assert len(text) < 400_000
    assert text.count("Runbook: ") == 20
    assert text.count(f"FIRING: {'x' * 100} bot={'x' * 100}\n") == 180
    assert "Not all 201 alerts are shown." in text


@pytest.mark.parametrize("name", ["trading.mail.html", "trading.telegram.html"])
def test_a_label_cannot_leave_its_link(tmp_path: Path, name: str) -> None:
    """It is one value of one variable in the address of the board."""
    links = re.findall(r'href="([^"]*)"', rendered(tmp_path, name, "html"))
    (incident,) = (link for link in links if "trading-ops-recovery" in link)
    assert incident.startswith(INCIDENT)
    value = incident.removeprefix(INCIDENT)
    assert not set(value) & set("&<>'\"= ")
    assert "alpha" in value


@pytest.mark.parametrize(
    ("name", "links"),
    [
        ("trading.mail.text", 3),
        ("trading.chat.text", 3),
        ("trading.slack.text", 3),
        ("trading.discord.message", 3),
        ("trading.telegram.html", 3),
        ("trading.mail.html", 3),
    ],
)
def test_each_leads_to_runbook_board_and_incident(tmp_path: Path, name: str, links: int) -> None:
    """On-call never has to type an address."""
    kind = "html" if name == "trading.mail.html" else "text"
    text = rendered(tmp_path, name, kind)
    known = ("https://runbooks.example/", "https://boards.example/d/overview", INCIDENT)
    assert sum(secret in text for secret in known) == links


def test_an_end_has_both_times(tmp_path: Path) -> None:
    """When it started and when it was over."""
    over = DATA["alerts"][0] | {"status": "resolved", "endsAt": "2026-01-02T04:05:06Z"}
    for name in ("trading.mail.text", "trading.chat.text", "trading.slack.text"):
        text = rendered(tmp_path, name, "text", status="resolved", alerts=[over])
        assert "2026-01-02 03:04:05" in text
        assert "2026-01-02 04:05:06" in text


def test_a_text_message_is_one_line_without_markup(tmp_path: Path) -> None:
    """What fits on a locked screen: the subject and one sentence."""
    plain = {"alertname": "TradingBotDown", "bot": "alpha", "venue": "paper"}
    text = rendered(tmp_path, "trading.sms.text", "text", commonLabels=plain)
    assert text.strip() == "[FIRING] TradingBotDown bot=alpha venue=paper: A summary."

"""Messages as they are shown: what is hostile is inert, and a user's templates come first."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.builders import NOW
from tests.unit.notify.test_routing import message
from trading_ops.domain.message import MessageKind
from trading_ops.notify.rendering import Line, Renderer, duration

HOSTILE = "<script>alert(1)</script>\r\nBcc: x@example.com\x1b[31m{{ 7*7 }}\"'&"

FACTS: dict[MessageKind, dict[str, Any]] = {
    MessageKind.RECOVERY: {
        "alert": HOSTILE,
        "target": HOSTILE,
        "summary": HOSTILE,
        "began": NOW,
        "ended": NOW + timedelta(seconds=20),
        "seconds": 20.0,
        "reason": HOSTILE,
        "steps": [HOSTILE],
        "open": [HOSTILE],
        "incident": "1a2b3c4d",
    },
    MessageKind.APPROVAL: {
        "id": "1a2b3c4d",
        "action": "restart_bot",
        "target": HOSTILE,
        "params": HOSTILE,
        "requested_by": HOSTILE,
        "expires": NOW,
    },
}


def renderer(folder: Path | None = None) -> Renderer:
    return Renderer(
        zone=ZoneInfo("America/New_York"), link="https://ops.example.com", folder=folder
    )


@pytest.mark.parametrize("kind", [kind for kind in MessageKind if kind is not MessageKind.REPORT])
def test_hostile_labels_are_inert(kind: MessageKind) -> None:
    facts = FACTS.get(kind, {"Reason": HOSTILE, HOSTILE: "x"})
    made = renderer().message(message(kind=kind, subject=HOSTILE, facts=facts))
    assert made.subject.isprintable()
    assert "<script" not in made.html
    assert "&lt;script&gt;" in made.html
    assert "49" not in made.html + made.text
    assert "\x1b" not in made.text
    assert "\nBcc:" not in made.text


def test_hostile_subjects_are_inert_in_a_digest() -> None:
    lines = [Line(at=NOW, subject=HOSTILE, text=HOSTILE)]
    made = renderer().digest(lines, kind="trade", total=1000)
    assert made.subject == "1000 trades"
    assert "<script" not in made.html
    assert "And 999 more" in made.text


def test_a_digest_says_how_many_in_which_time() -> None:
    lines = [Line(at=NOW + timedelta(seconds=30 * n), subject="b", text="") for n in range(17)]
    assert renderer().digest(lines, kind="trade", total=17).subject == "17 trades in 8 minutes"


def test_times_are_in_the_zone_of_the_file() -> None:
    assert "Sun 2026-03-01 07:00:00 EST" in renderer().message(message()).text


def test_a_template_of_the_user_replaces_ours(tmp_path: Path) -> None:
    """One of them; the rest stay, and theirs may extend ours."""
    (tmp_path / "trade.txt").write_text("ours: {{ subject }}")
    (tmp_path / "trade.html").write_text(
        '{% extends "base.html" %}{% block content %}<i>{{ facts.price }}</i>{% endblock %}'
    )
    made = renderer(tmp_path).message(message(facts={"price": "<1>"}))
    assert made.text == "ours: bought"
    assert "<i>&lt;1&gt;</i>" in made.html
    other = renderer(tmp_path).message(message(kind=MessageKind.HOLD))
    assert other.text.startswith("bought\n")


@pytest.mark.parametrize(
    "text",
    [
        "{{ nothing.here }}",
        "{% for",
        "{{ 1 / 0 }}",
        "{% include 'missing' %}",
        "{{ ''.__class__.__mro__ }}",
    ],
)
def test_a_broken_template_of_the_user_loses_no_message(tmp_path: Path, text: str) -> None:
    (tmp_path / "trade.txt").write_text(text)
    assert renderer(tmp_path).message(message()).text.startswith("bought\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.64, "8.6 s"), (250, "4 min 10 s"), (11100, "3 h 5 min"), (0, "0.0 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text

"""Text and HTML of messages, from Jinja2 templates; a user's folder takes precedence over ours.

Every value is escaped in HTML: labels and reasons are untrusted. If a user's template fails, that
is logged and ours is used, so no message is lost.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from trading_ops import logs
from trading_ops.domain.message import Message, one_line

if TYPE_CHECKING:
    from jinja2 import Environment

log = logs.get(__name__)

MISSING = "\N{EN DASH}"
"""Shown for a value that is not measured; it is never 0."""

OURS = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Rendered:
    """A rendered message."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One message of a digest."""

    at: datetime
    subject: str
    text: str


class Renderer:
    """Renders messages for one notify.yml."""

    def __init__(self, *, zone: ZoneInfo, link: str = "", folder: Path | None = None) -> None:
        self._zone = zone
        self._link = link.rstrip("/")
        self._folder = folder

    def message(self, message: Message) -> Rendered:
        """Render one message by the template of its kind."""
        subject = one_line(message.subject)
        values = {"message": message, "subject": subject, "facts": message.facts}
        return self._render(message.kind.value, subject, values)

    def digest(self, lines: Sequence[Line], *, kind: str, total: int) -> Rendered:
        """Render many messages of one kind as one.

        Args:
            lines: the shown messages, oldest first.
            kind: their kind.
            total: number of messages.
        """
        minutes = (lines[-1].at - lines[0].at).total_seconds() / 60
        plural = kind if kind.endswith("s") else f"{kind}s"
        subject = f"{total} {plural}"
        if total == len(lines) and minutes >= 1:
            subject += f" in {minutes:.0f} minutes" if minutes >= 2 else " in a minute"  # noqa: PLR2004
        values = {"lines": lines, "kind": kind, "total": total, "subject": subject}
        return self._render("digest", subject, values)

    def _render(self, name: str, subject: str, values: Mapping[str, Any]) -> Rendered:
        text = self._one(f"{name}.txt", "message.txt", values)
        html = self._one(f"{name}.html", "message.html", values)
        plain = "".join(letter for letter in text if letter == "\n" or letter.isprintable())
        return Rendered(subject, plain, html)

    def _one(self, name: str, otherwise: str, values: Mapping[str, Any]) -> str:
        from jinja2 import TemplateError  # noqa: PLC0415 - only where something is rendered

        names = [name, otherwise]
        if self._folder is not None:
            try:
                return self._theirs.select_template(names).render(values)
            except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
                log.error("template_failed", template=name, error=str(error))  # noqa: TRY400
        return self._ours.select_template(names).render(values)

    @cached_property
    def _ours(self) -> "Environment":
        return self._environment([OURS])

    @cached_property
    def _theirs(self) -> "Environment":
        return self._environment([self._folder or OURS, OURS])

    def _environment(self, folders: Sequence[Path]) -> "Environment":
        from jinja2 import FileSystemLoader, StrictUndefined, select_autoescape  # noqa: PLC0415
        from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415

        made = SandboxedEnvironment(
            loader=FileSystemLoader(list(folders)),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        made.filters |= {
            "moment": self._moment,
            "time": self._time,
            "fact": self._fact,
            "duration": duration,
            "line": one_line,
            "money": money,
            "number": number,
            "quantity": quantity,
            "percent": percent,
            "exact": exact_percent,
            "ratio": ratio,
            "megabytes": megabytes,
        }
        made.globals["link"] = self._link
        return made

    def _moment(self, at: datetime | None) -> str:
        if at is None:
            return MISSING
        return f"{at.astimezone(self._zone):%a %Y-%m-%d %H:%M:%S %Z}"

    def _fact(self, value: Any) -> str:
        return self._moment(value) if isinstance(value, datetime) else str(value)

    def _time(self, at: datetime) -> str:
        """Return a time without its year."""
        return f"{at.astimezone(self._zone):%m-%d %H:%M:%S %Z}"


def money(amount: float | None, currency: str) -> str:
    """Return an amount with its currency, or a dash if not measured."""
    return MISSING if amount is None else f"{amount:z,.2f} {currency}".strip()


def number(value: float | None) -> str:
    """Return a count, or a dash."""
    return MISSING if value is None else f"{value:,.0f}"


def quantity(value: float) -> str:
    """Return a quantity with at most eight digits after the point."""
    return f"{value:,.8f}".rstrip("0").rstrip(".")


def percent(ratio: float | None) -> str:
    """Return a share in percent, or a dash."""
    return MISSING if ratio is None else f"{100 * ratio:.1f} %"


def exact_percent(ratio: float | None) -> str:
    """Return a share in percent with three digits, never rounded up to 100, or a dash."""
    return MISSING if ratio is None else f"{math.floor(1e5 * ratio + 1e-6) / 1e3:.3f} %"


def ratio(value: float | None) -> str:
    """Return a ratio with two digits, or a dash."""
    return MISSING if value is None else f"{value:.2f}"


def megabytes(count: float) -> str:
    """Return a number of bytes in MB."""
    return f"{count / 1e6:,.1f} MB"


def duration(seconds: float | None) -> str:
    """Return a duration as people read it (8.6 s, 4 min 10 s, 3 h 5 min), or a dash."""
    if seconds is None:
        return MISSING
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"

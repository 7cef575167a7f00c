"""The read-only pages: each one reads from the API and fills a template."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import msgspec

from trading_ops.api.openapi import document
from trading_ops.api.requests import not_found
from trading_ops.capacity.plan import Level
from trading_ops.clients.reconciler_views import TimelineView
from trading_ops.console.api_docs import operations, schemas
from trading_ops.console.figures import FigureReader
from trading_ops.console.fleet import PAGE, Row
from trading_ops.console.reading import FleetReader
from trading_ops.console.visitor import Visitor
from trading_ops.domain.bot_event import BotEventKind
from trading_ops.domain.incident import Incident
from trading_ops.domain.message import MessageState, Severity
from trading_ops.domain.report import Period
from trading_ops.reports.post_mortem import draft

Page = tuple[str, Mapping[str, Any]]
"""A template and its values."""

Handler = Callable[[Visitor], Awaitable[Page]]

EVENTS = 100
BEFORE = timedelta(minutes=30)
"""How much time before an incident its graphs show."""

SHORT = 12
"""Maximum incidents and events on the page of one bot."""

BOT_EVENT_FILTERS = ("bot", "kind", "severity", "strategy", "symbol", "order", "since", "until")
EVENT_FILTERS = ("kind", "target", "actor", "reason", "incident")


class Pages:
    """Handlers by the path after `/console/`."""

    def __init__(self, reading: FleetReader, figures: FigureReader) -> None:
        self._reading = reading
        self._figures = figures
        self._described: dict[str, Any] = {}

    def table(self) -> Mapping[str, Handler]:
        """Return every page."""
        return {
            "fleet": self.fleet,
            "bots/{name}": self.bot,
            "incidents": self.incidents,
            "incidents/{id}": self.incident,
            "incidents/{id}/post-mortem": self.post_mortem,
            "alerts": self.alerts,
            "maintenance": self.maintenance,
            "events": self.events,
            "messages": self.messages,
            "backups": self.backups,
            "bot-events": self.bot_events,
            "reports": self.reports,
            "jobs": self.jobs,
            "jobs/{name}": self.job,
            "capacity": self.capacity,
            "readiness": self.readiness,
            "runbooks/{alert}": self.runbook,
            "api": self.api,
        }

    async def fleet(self, visitor: Visitor) -> Page:
        """Show what is at risk, and the bots, worst first."""
        fleet = await self._reading.fleet()
        text, state = visitor.parameter("q"), visitor.parameter("state")
        found = fleet.found(text, state)
        pages = max(1, -(-len(found) // PAGE))
        number = min(max(1, _whole(visitor.parameter("page"))), pages)
        rows = found[(number - 1) * PAGE : number * PAGE]
        lines = await self._figures.lines([row.name for row in rows])
        return "fleet.html", {
            "fleet": fleet,
            "rows": rows,
            "lines": lines,
            "found": len(found),
            "number": number,
            "pages": pages,
            "q": text,
            "state": state,
        }

    async def bot(self, visitor: Visitor) -> Page:
        """Show one bot."""
        row = await self._row(visitor.request.match_info["name"])
        incidents = await visitor.get("/api/v1/incidents", target=row.name, limit=SHORT)
        events = await visitor.get("/api/v1/events", target=row.name, limit=SHORT)
        lines = await self._figures.lines([row.name])
        return "bot.html", {
            "row": row,
            "line": lines.get(row.name),
            "incidents": incidents.incidents,
            "events": events.events,
        }

    async def incidents(self, visitor: Visitor) -> Page:
        """List incidents, the open ones or all."""
        shown = visitor.parameter("show") or "open"
        page = await visitor.get(
            "/api/v1/incidents",
            open=shown == "open",
            target=visitor.parameter("target"),
            alertname=visitor.parameter("alertname"),
            cursor=visitor.parameter("cursor"),
            limit=PAGE,
        )
        return "incidents.html", {
            "page": page,
            "shown": shown,
            "target": visitor.parameter("target"),
            "alertname": visitor.parameter("alertname"),
            "is_first": not visitor.parameter("cursor"),
        }

    async def post_mortem(self, visitor: Visitor) -> Page:
        """Show a draft post-mortem of one incident, as Markdown to copy."""
        key = visitor.request.match_info["id"]
        timeline = await visitor.get("/api/v1/incidents/{id}", parts={"id": key})
        text = draft(msgspec.convert(timeline, TimelineView, from_attributes=True))
        return "post_mortem.html", {"incident": timeline.incident, "text": text}

    async def incident(self, visitor: Visitor) -> Page:
        """Show one incident with its timeline."""
        key = visitor.request.match_info["id"]
        timeline = await visitor.get("/api/v1/incidents/{id}", parts={"id": key})
        incident: Incident = timeline.incident
        open_ = await visitor.get("/api/v1/incidents", open=True, target=incident.target)
        approvals = await visitor.get("/api/v1/approvals", incident=incident.id)
        return "incident.html", {
            "incident": incident,
            "attempts": timeline.attempts,
            "events": timeline.events,
            "progress": open_.statuses.get(incident.id),
            "approvals": approvals.approvals,
            "graph_from": incident.opened_at - BEFORE,
            "has_runbook": await self._has_runbook(visitor, incident.alert),
        }

    async def alerts(self, visitor: Visitor) -> Page:
        """Show the alerts of the last poll, and every silence with its owner."""
        state = visitor.parameter("state") or "firing"
        page = await visitor.get(
            "/api/v1/alerts",
            state=None if state == "all" else state,
            alertname=visitor.parameter("alertname"),
            after=visitor.parameter("after"),
            limit=2 * PAGE,
        )
        fleet = await self._reading.fleet()
        covered: dict[str, list[str]] = {}
        for row in fleet.rows:
            for silence in row.target.silences:
                covered.setdefault(silence.id, []).append(row.name)
        return "alerts.html", {
            "page": page,
            "alerts": sorted(page.alerts, key=lambda alert: _rank(alert.labels)),
            "state": state,
            "alertname": visitor.parameter("alertname"),
            "silence_of": {silence.id: silence for silence in page.silences},
            "covered": covered,
        }

    async def maintenance(self, visitor: Visitor) -> Page:
        """Show maintenance windows, open and planned, and whether automation is paused."""
        windows = await visitor.get("/api/v1/maintenance")
        return "maintenance.html", {
            "windows": windows.maintenance,
            "recurring": windows.recurring,
        }

    async def events(self, visitor: Visitor) -> Page:
        """Show events, newest first."""
        chosen: dict[str, Any] = {name: visitor.parameter(name) for name in EVENT_FILTERS}
        before = visitor.parameter("before")
        page = await visitor.get("/api/v1/events", **chosen, limit=EVENTS, before=before)
        summary = await visitor.get("/api/v1/events/summary")
        kinds = sorted({count.kind for count in summary.counts})
        return "events.html", {
            "page": page,
            "chosen": chosen,
            "kinds": kinds,
            "is_first": not before,
        }

    async def messages(self, visitor: Visitor) -> Page:
        """List the messages of the outbox, newest first."""
        state, cursor = visitor.parameter("state"), visitor.parameter("cursor")
        page = await visitor.get("/api/v1/messages", state=state, cursor=cursor, limit=PAGE)
        return "messages.html", {
            "page": page,
            "state": state,
            "states": [state.value for state in MessageState],
            "is_first": not cursor,
        }

    async def backups(self, visitor: Visitor) -> Page:
        """List the newest backups and whether they were verified and restored."""
        page = await visitor.get("/api/v1/backups")
        return "backups.html", {"backups": page.backups[:PAGE], "number": len(page.backups)}

    async def bot_events(self, visitor: Visitor) -> Page:
        """Show trades and other events that bots reported, newest first."""
        chosen: dict[str, Any] = {name: visitor.parameter(name) for name in BOT_EVENT_FILTERS}
        cursor = visitor.parameter("cursor")
        page = await visitor.get("/api/v1/bot-events", **chosen, limit=EVENTS, cursor=cursor)
        return "bot_events.html", {
            "page": page,
            "chosen": chosen,
            "kinds": [kind.value for kind in BotEventKind],
            "severities": [severity.value for severity in Severity],
            "is_first": not cursor,
        }

    async def reports(self, visitor: Visitor) -> Page:
        """Show the report on a period."""
        period_name, date = visitor.parameter("period"), visitor.parameter("date")
        period = period_name if period_name in set(Period) else Period.DAILY.value
        parts = {"period": period}
        report = await visitor.get("/api/v1/reports/{period}", parts=parts, date=date)
        return "reports.html", {
            "report": report,
            "period": period,
            "periods": [period.value for period in Period],
            "date": date,
        }

    async def jobs(self, visitor: Visitor) -> Page:
        """List the jobs and their state."""
        page = await visitor.get("/api/v1/jobs")
        return "jobs.html", {"jobs": page.jobs}

    async def job(self, visitor: Visitor) -> Page:
        """Show one job: its plan, and its runs."""
        parts = {"name": visitor.request.match_info["name"]}
        history = await visitor.get("/api/v1/jobs/{name}", parts=parts, limit=PAGE)
        plan = await visitor.get("/api/v1/jobs/{name}/plan", parts=parts)
        return "job.html", {"job": history.job, "runs": history.runs, "plan": plan}

    async def capacity(self, visitor: Visitor) -> Page:
        """Show what each resource uses and when it runs out."""
        plan = await visitor.get("/api/v1/capacity")
        due = [
            resource
            for resource in plan.resources
            if resource.level in {Level.CRITICAL, Level.WARNING}
        ]
        return "capacity.html", {"plan": plan, "due": due}

    async def readiness(self, visitor: Visitor) -> Page:
        """Show the runs from paper to live with their criteria."""
        page = await visitor.get("/api/v1/readiness")
        return "readiness.html", {"runs": page.runs}

    async def runbook(self, visitor: Visitor) -> Page:
        """Show one runbook: the plan and the text."""
        alert = visitor.request.match_info["alert"]
        book = await visitor.get("/api/v1/runbooks/{alert}", parts={"alert": alert})
        _, _, text = book.markdown.partition("\n---\n")
        return "runbook.html", {"plan": book.plan, "text": text.strip()}

    async def api(self, visitor: Visitor) -> Page:
        """Show the API by its own OpenAPI document, one tag at a time."""
        described = self._described or document(visitor.calls.table)
        self._described = described
        tags = [tag["name"] for tag in described["tags"]]
        tag = visitor.parameter("tag")
        tag = tag if tag in tags else tags[0]
        return "api.html", {
            "info": described["info"],
            "tags": tags,
            "tag": tag,
            "operations": operations(described, tag),
            "schemas": (types := schemas(described, tag)),
            "names": {event_type.name for event_type in types},
        }

    async def _row(self, name: str) -> Row:
        fleet = await self._reading.fleet()
        row = next((row for row in fleet.rows if row.name == name), None)
        if row is None:
            not_found("targets.yml has no bot of this name")
        return row

    async def _has_runbook(self, visitor: Visitor, alert: str) -> bool:
        found = await visitor.get("/api/v1/runbooks")
        return any(runbook.alert == alert for runbook in found.runbooks)


def _rank(labels: Mapping[str, str]) -> int:
    """Return the place of an alert in a list, the worst first."""
    worst = [severity.value for severity in reversed(Severity)]
    severity = labels.get("severity", "")
    return worst.index(severity) if severity in worst else len(worst)


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < SHORT else 1

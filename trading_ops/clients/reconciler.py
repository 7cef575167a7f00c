"""Client of the reconciler's API, for the command line and the drills."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from trading_ops.clients.http import Http
from trading_ops.clients.readiness_views import Checked, CheckToRun, ReadinessRunView, SignedReport
from trading_ops.clients.reconciler_views import (
    AcknowledgementView,
    ActionOutcomeView,
    ApprovalView,
    AttemptView,
    BotEventCountView,
    BotEventView,
    EventPageView,
    EventView,
    IncidentStatusView,
    JobHistoryView,
    JobPlanView,
    JobView,
    ListedIncidentView,
    MessageView,
    PauseView,
    PlacedView,
    RecurringWindowView,
    ReleasedView,
    ReportView,
    StatusView,
    TargetView,
    TimelineView,
    WindowsView,
    WindowView,
)
from trading_ops.domain.target import Selection
from trading_ops.errors import Refused, Unreachable

T = TypeVar("T")

EVERYTHING = Selection()


class _Runs(msgspec.Struct):
    runs: list[ReadinessRunView]


class _Checks(msgspec.Struct):
    checks: list[CheckToRun]


class _Jobs(msgspec.Struct):
    jobs: list[JobView]


class _Started(msgspec.Struct):
    run: int


class _Approvals(msgspec.Struct):
    approvals: list[ApprovalView]


FLEET_WITHIN = timedelta(seconds=60)
"""Timeout of a request to all bots."""


class _Holds(msgspec.Struct):
    holds: list[PlacedView]


class _Releases(msgspec.Struct):
    released: list[ReleasedView]


class _Targets(msgspec.Struct):
    targets: list[TargetView]


class _Count(msgspec.Struct):
    kind: str


class _Summary(msgspec.Struct):
    counts: list[_Count]


class _AttemptDetail(msgspec.Struct):
    attempt: AttemptView


class _Problem(msgspec.Struct):
    error: str
    detail: str = ""


class _Incidents(msgspec.Struct):
    incidents: list[ListedIncidentView]
    statuses: dict[str, IncidentStatusView] = {}


class _Paused(msgspec.Struct):
    id: int


class _Resumed(msgspec.Struct):
    pause: PauseView | None


class _Test(msgspec.Struct):
    test_id: str


class _Retried(msgspec.Struct):
    count: int


class _Messages(msgspec.Struct):
    messages: list[MessageView]


class BotEventsPage(msgspec.Struct):
    """Events that bots reported, newest first."""

    events: list[BotEventView]
    head: int
    """Cursor from which a stream continues this list."""


class _BotEventCounts(msgspec.Struct):
    counts: list[BotEventCountView]


class _MessageText(msgspec.Struct):
    message: MessageView


class _Tested(msgspec.Struct):
    ids: list[str]


class _Resolved(msgspec.Struct):
    id: str


class _Sent(msgspec.Struct):
    channels: list[str]


class ReconcilerApi:
    """Client of the reconciler's API, with an operator's token."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def status(self) -> StatusView:
        """Return its status."""
        return _decode(await self._get("/api/v1/status"), StatusView)

    async def incidents(self, **filters: str) -> list[ListedIncidentView]:
        """Return incidents, newest first; filters as the API has them."""
        page = _decode(await self._get("/api/v1/incidents", params=filters), _Incidents)
        for incident in page.incidents:
            incident.status = page.statuses.get(incident.id)
        return page.incidents

    async def timeline(self, key: str) -> TimelineView | None:
        """Return one incident with its timeline, or None if it does not exist."""
        answer = await self._http.ask("GET", f"/api/v1/incidents/{_part(key)}")
        if answer.status == 404:  # noqa: PLR2004
            return None
        return _decode(_checked(answer.status, answer.body), TimelineView)

    async def acknowledge(
        self, key: str, *, owner: str, note: str = "", seconds: float | None = None
    ) -> AcknowledgementView:
        """Acknowledge an incident, or with `seconds` snooze it."""
        kind = "acknowledge" if seconds is None else "snooze"
        fields: dict[str, Any] = {"kind": kind, "owner": owner, "note": note}
        fields |= {} if seconds is None else {"seconds": seconds}
        body = await self._order("POST", f"/api/v1/incidents/{_part(key)}/acknowledge", **fields)
        return _decode(body, AcknowledgementView)

    async def unacknowledge(self, key: str, *, owner: str) -> AcknowledgementView:
        """Remove an acknowledgement."""
        path = f"/api/v1/incidents/{_part(key)}/acknowledge"
        answer = await self._http.ask("DELETE", path, params={"owner": owner})
        return _decode(_checked(answer.status, answer.body), AcknowledgementView)

    async def resolve(self, key: str, *, owner: str, reason: str) -> str:
        """Close an incident whose alert no longer fires; return its id."""
        path = f"/api/v1/incidents/{_part(key)}/resolve"
        body = await self._order("POST", path, owner=owner, reason=reason)
        return _decode(body, _Resolved).id

    async def pause(self, *, owner: str, reason: str, seconds: float) -> int:
        """Pause automation; return the pause's id."""
        body = await self._order(
            "POST", "/api/v1/pause", owner=owner, reason=reason, seconds=seconds
        )
        return _decode(body, _Paused).id

    async def resume(self, *, owner: str, only: int | None = None) -> PauseView | None:
        """End all pauses, or only one; return a pause that is still in force."""
        params = {"owner": owner} | ({} if only is None else {"id": str(only)})
        answer = await self._http.ask("DELETE", "/api/v1/pause", params=params)
        return _decode(_checked(answer.status, answer.body), _Resumed).pause

    async def reset_budget(self, target: str, *, owner: str, reason: str) -> None:
        """Reset the attempt budgets of a target."""
        path = f"/api/v1/targets/{_part(target)}/reset-budget"
        await self._order("POST", path, owner=owner, reason=reason)

    async def hold(
        self, target: str, state: str, *, owner: str, reason: str, key: str | None = None
    ) -> PlacedView:
        """Hold a bot: the state is `halt` or `reduce`; asking twice with one key is one hold."""
        path = f"/api/v1/targets/{_part(target)}/{state}"
        body = await self._order("POST", path, owner=owner, reason=reason, key=key)
        return _decode(body, PlacedView)

    async def halt_all(
        self, *, owner: str, reason: str, selection: Selection = EVERYTHING
    ) -> list[PlacedView]:
        """Halt every bot of a part of the fleet."""
        fields: dict[str, Any] = {"team": selection.team, "host": selection.host, "owner": owner}
        body = await self._order("POST", "/api/v1/halt", reason=reason, **fields)
        return _decode(body, _Holds).holds

    async def release_all(
        self, *, owner: str, reason: str, selection: Selection = EVERYTHING
    ) -> list[ReleasedView]:
        """Release all holds of every bot of a part of the fleet."""
        fields: dict[str, Any] = {"team": selection.team, "host": selection.host, "owner": owner}
        path = "/api/v1/resume"
        body = await self._order("POST", path, within=FLEET_WITHIN, reason=reason, **fields)
        return _decode(body, _Releases).released

    async def release(
        self, target: str, *, holds: Sequence[str], owner: str, reason: str
    ) -> ReleasedView:
        """Release holds of a bot; without ids, all of them."""
        path = f"/api/v1/targets/{_part(target)}/resume"
        named = list(holds) or None
        body = await self._order("POST", path, owner=owner, reason=reason, holds=named)
        return _decode(body, ReleasedView)

    async def capacity(self, kind: type[T], bot: str | None, within: timedelta) -> T:
        """Return use, growth and forecast of every resource, or of a bot's, decoded as `kind`."""
        params = {} if bot is None else {"bot": bot}
        answer = await self._http.ask("GET", "/api/v1/capacity", params=params, within=within)
        return _decode(_checked(answer.status, answer.body), kind)

    async def targets(self) -> list[TargetView]:
        """Return every registered target with its holds."""
        return _decode(await self._get("/api/v1/targets"), _Targets).targets

    async def execute(
        self,
        action: str,
        target: str,
        params: Mapping[str, str],
        *,
        owner: str,
        reason: str,
        override_budget: bool | None = None,
    ) -> ActionOutcomeView:
        """Run a manual action, through the same gates as a runbook step."""
        path = f"/api/v1/actions/{_part(action)}"
        body = await self._order(
            "POST",
            path,
            target=target,
            params=dict(params),
            owner=owner,
            reason=reason,
            override_budget=override_budget,
        )
        return _decode(body, ActionOutcomeView)

    async def attempt(self, key: str) -> AttemptView:
        """Return the current state of one attempt."""
        body = await self._get(f"/api/v1/attempts/{_part(key)}")
        return _decode(body, _AttemptDetail).attempt

    async def approvals(self, **filters: str) -> list[ApprovalView]:
        """Return approval requests, newest first."""
        body = await self._get("/api/v1/approvals", params=filters)
        return _decode(body, _Approvals).approvals

    async def answer(self, key: str, verdict: str, *, owner: str) -> ApprovalView:
        """Decide an approval request: `approve` or `deny`."""
        path = f"/api/v1/approvals/{_part(key)}/{verdict}"
        return _decode(await self._order("POST", path, owner=owner), ApprovalView)

    async def windows(self) -> WindowsView:
        """Return the maintenance windows that are open or planned, and the recurring ones."""
        return _decode(await self._get("/api/v1/maintenance"), WindowsView)

    async def past_windows(self, **filters: str) -> list[WindowView]:
        """Return the maintenance windows that have ended, the newest first."""
        body = await self._get("/api/v1/past-maintenance", params=filters)
        return _decode(body, WindowsView).maintenance

    async def recur_window(self, **fields: Any) -> RecurringWindowView:
        """Create a recurring maintenance window; fields as the API has them."""
        body = await self._order("POST", "/api/v1/recurring-maintenance", **fields)
        return _decode(body, RecurringWindowView)

    async def end_recurring_window(self, key: int, *, owner: str) -> RecurringWindowView:
        """End a recurring maintenance window."""
        path = f"/api/v1/recurring-maintenance/{key}"
        answer = await self._http.ask("DELETE", path, params={"owner": owner})
        return _decode(_checked(answer.status, answer.body), RecurringWindowView)

    async def begin_window(self, **fields: Any) -> WindowView:
        """Start or plan a maintenance window; fields as the API has them."""
        return _decode(await self._order("POST", "/api/v1/maintenance", **fields), WindowView)

    async def end_window(self, key: int, *, owner: str) -> WindowView:
        """End a maintenance window."""
        path = f"/api/v1/maintenance/{key}"
        answer = await self._http.ask("DELETE", path, params={"owner": owner})
        return _decode(_checked(answer.status, answer.body), WindowView)

    async def readiness(self) -> list[ReadinessRunView]:
        """Return the open run of each bot that has one."""
        return _decode(await self._get("/api/v1/readiness"), _Runs).runs

    async def readiness_of(self, bot: str) -> ReadinessRunView:
        """Return the open run of a bot, or its last one."""
        return _decode(await self._get(f"/api/v1/readiness/{_part(bot)}"), ReadinessRunView)

    async def change_readiness(
        self, bot: str, name: str, *, owner: str, reason: str
    ) -> ReadinessRunView:
        """Start a run (an empty name), or `approve`, `sign-off` or `abort` it."""
        path = f"/api/v1/readiness/{_part(bot)}" + (f"/{name}" if name else "")
        return _decode(
            await self._order("POST", path, owner=owner, reason=reason), ReadinessRunView
        )

    async def readiness_checks(self, bot: str) -> list[CheckToRun]:
        """Return the checks to run for a bot."""
        body = await self._get(f"/api/v1/readiness/{_part(bot)}/checks")
        return _decode(body, _Checks).checks

    async def send_checks(
        self, bot: str, found: Sequence[Checked], *, owner: str
    ) -> ReadinessRunView:
        """Send the results of a bot's checks."""
        path = f"/api/v1/readiness/{_part(bot)}/checks"
        checks = msgspec.to_builtins(list(found))
        return _decode(
            await self._order("POST", path, owner=owner, checks=checks), ReadinessRunView
        )

    async def readiness_report(self, bot: str) -> SignedReport:
        """Return the signed report of a bot."""
        return _decode(await self._get(f"/api/v1/readiness/{_part(bot)}/report"), SignedReport)

    async def jobs(self) -> list[JobView]:
        """Return every job."""
        return _decode(await self._get("/api/v1/jobs"), _Jobs).jobs

    async def job(self, name: str, *, limit: int = 20) -> JobHistoryView:
        """Return one job and its newest runs."""
        path = f"/api/v1/jobs/{_part(name)}"
        return _decode(await self._get(path, params={"limit": str(limit)}), JobHistoryView)

    async def job_plan(self, name: str) -> JobPlanView:
        """Return what a job would do now."""
        return _decode(await self._get(f"/api/v1/jobs/{_part(name)}/plan"), JobPlanView)

    async def run_job(self, name: str, *, owner: str) -> int:
        """Run a job now; return the run's id."""
        path = f"/api/v1/jobs/{_part(name)}/run"
        return _decode(await self._order("POST", path, owner=owner), _Started).run

    async def pause_job(self, name: str, *, reason: str, owner: str) -> JobView:
        """Pause a job."""
        path = f"/api/v1/jobs/{_part(name)}/pause"
        return _decode(await self._order("POST", path, reason=reason, owner=owner), JobView)

    async def resume_job(self, name: str, *, owner: str) -> JobView:
        """Resume a job."""
        path = f"/api/v1/jobs/{_part(name)}/pause"
        answer = await self._http.ask("DELETE", path, params={"owner": owner})
        return _decode(_checked(answer.status, answer.body), JobView)

    async def events(self, **filters: str) -> EventPageView:
        """Return events; filters as the API has them."""
        answer = await self._http.ask("GET", "/api/v1/events", params=filters)
        return _decode(_checked(answer.status, answer.body), EventPageView)

    async def kinds(self) -> frozenset[str]:
        """Return every stored kind of event."""
        body = await self._get("/api/v1/events/summary", params={"since": "1970-01-01T00:00:00Z"})
        return frozenset(count.kind for count in _decode(body, _Summary).counts)

    async def follow(self, after: int) -> AsyncIterator[EventView]:
        """Yield every event after a number as it happens, until the connection ends.

        Raises:
            Unreachable: the stream could not be opened, or was closed.
        """
        path = "/api/v1/events/stream"
        async for text in self._http.messages(path, params={"after": str(after)}):
            yield _decode(text.encode(), EventView)

    async def bot_events(self, **filters: str) -> BotEventsPage:
        """Return events that bots reported, newest first; filters as the API has them."""
        body = await self._get("/api/v1/bot-events", params=filters)
        return _decode(body, BotEventsPage)

    async def follow_bot_events(self, after: int, **filters: str) -> AsyncIterator[BotEventView]:
        """Yield every event of the bots after a number, until the connection ends.

        Raises:
            Unreachable: the stream could not be opened, or was closed.
        """
        path = "/api/v1/bot-events/stream"
        async for text in self._http.messages(path, params={**filters, "after": str(after)}):
            yield _decode(text.encode(), BotEventView)

    async def bot_event_counts(self, **filters: str) -> list[BotEventCountView]:
        """Return how many events each bot reported."""
        body = await self._get("/api/v1/bot-events/summary", params=filters)
        return _decode(body, _BotEventCounts).counts

    async def messages(self, **filters: str) -> list[MessageView]:
        """Return messages of the outbox, newest first; filters as the API has them."""
        body = await self._get("/api/v1/messages", params=filters)
        return _decode(body, _Messages).messages

    async def message(self, key: str) -> MessageView:
        """Return the current state of one message."""
        body = await self._get(f"/api/v1/messages/{_part(key)}")
        return _decode(body, _MessageText).message

    async def test_message(self, *, channel: str | None, owner: str) -> list[str]:
        """Store a test message; return its id for each channel."""
        body = await self._order("POST", "/api/v1/messages", channel=channel, owner=owner)
        return _decode(body, _Tested).ids

    async def change_message(self, key: str, change: str, *, owner: str) -> MessageView:
        """Retry or discard an undelivered message.

        Args:
            key: of the message.
            change: `retry` or `discard`.
            owner: who requests it.
        """
        path = f"/api/v1/messages/{_part(key)}/{change}"
        return _decode(await self._order("POST", path, owner=owner), MessageView)

    async def retry_dead_messages(self, *, owner: str) -> int:
        """Retry every dead message; return how many."""
        body = await self._order("POST", "/api/v1/dead-messages/retry", owner=owner)
        return _decode(body, _Retried).count

    async def report(self, period: str, **which: str) -> ReportView:
        """Return a report: `daily`, `weekly`, `monthly` or `quarterly`.

        Args:
            period: kind of period.
            **which: `date`, or `since` and `until`; none: the default of the API.
        """
        return _decode(await self._get(f"/api/v1/reports/{_part(period)}", which), ReportView)

    async def send_report(self, period: str, *, owner: str, **which: str) -> list[str]:
        """Send a report, selected as for `report`; return its channels."""
        path = f"/api/v1/reports/{_part(period)}"
        given: dict[str, Any] = {"owner": owner, **which}
        return _decode(await self._order("POST", path, **given), _Sent).channels

    async def test_alert(self) -> str:
        """Fire a test alert; return its id."""
        return _decode(await self._order("POST", "/api/v1/test-alert"), _Test).test_id

    async def end_test_alert(self) -> None:
        """Resolve the test alert."""
        await self._order("DELETE", "/api/v1/test-alert")

    async def _get(self, path: str, params: Mapping[str, str] | None = None) -> bytes:
        answer = await self._http.ask("GET", path, params=params)
        return _checked(answer.status, answer.body)

    async def _order(
        self, method: str, path: str, *, within: timedelta | None = None, **fields: Any
    ) -> bytes:
        given = {name: value for name, value in fields.items() if value is not None}
        answer = await self._http.ask(method, path, json=given or None, within=within)
        return _checked(answer.status, answer.body)


def _part(text: str) -> str:
    """Escape an operator's text as one path segment."""
    return quote(text, safe="")


def _checked(status: int, body: bytes) -> bytes:
    if status >= 500:  # noqa: PLR2004 - the class of server errors
        raise Unreachable(f"the reconciler answered HTTP {status}: {_said(body)}")
    if status >= 300:  # noqa: PLR2004 - everything except success
        raise Refused(f"the reconciler answered HTTP {status}: {_said(body)}")
    return body


def _said(body: bytes) -> str:
    """Return the sentence in an error's body."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.DecodeError:
        return body[:200].decode(errors="replace")
    return problem.detail or problem.error


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Unreachable(f"invalid response from the reconciler: {error}") from error

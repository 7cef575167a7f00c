"""Targets: state of each, and manual holds on bots. A halt does not need the database."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import msgspec

from trading_ops import clock
from trading_ops.actions.trading import ResumeTrading
from trading_ops.api.auth import Identity
from trading_ops.api.requests import Key, Person, Selected, Text, conflict, invalid, not_found
from trading_ops.domain.approval import Approval, digest
from trading_ops.domain.decision import Pause
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.domain.maintenance import Maintenance, covering
from trading_ops.domain.silences import Silence
from trading_ops.domain.target import BOTS, Kind, Registry, Target
from trading_ops.errors import ClientError, NothingSelected, StoreError
from trading_ops.holds.agent_probe import ProbeState
from trading_ops.holds.holds import AT_A_TIME, HoldManager, Placed
from trading_ops.project.discovery import discovery
from trading_ops.store import Connection, approvals, maintenance, search
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

HoldKey = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$(?!\n)")]
MANY = 100


class SilenceView(msgspec.Struct, kw_only=True):
    """One manual silence in Alertmanager."""

    id: str
    owner: str
    comment: str
    ends_at: datetime
    matchers: list[str]


class AgentView(msgspec.Struct, kw_only=True):
    """A bot's last health report."""

    state: str
    """The trading state: `active`, `reducing` or `halted`."""

    status: str
    """`ok`, `degraded` or `failing`."""

    answered_at: datetime
    heartbeat_at: datetime | None
    """When the bot completed its last trading pass; null: not yet, or not reported."""

    components: dict[str, bool]
    """Whether each component works."""


class TargetView(msgspec.Struct, kw_only=True):
    """One registered target."""

    name: str
    kind: Kind
    venue: str | None
    team: str
    """Empty: none."""

    host: str
    """Empty: not known."""

    open_incidents: int
    holds: list[Hold]
    in_force: list[str]
    """Ids of the holds that the bot has acknowledged to this reconciler."""

    silences: list[SilenceView]
    """Manual silences in Alertmanager; the alerts that they match are not remediated."""

    automation: str
    """`acts`, or why automation does not act: `paused`, `observe_only`, `maintenance`."""

    automation_note: str
    agent: AgentView | None
    """Null: not a bot, or no answer since the reconciler started."""


class TargetPage(msgspec.Struct, kw_only=True):
    """All registered targets, as in targets.yml."""

    targets: list[TargetView]


class TargetGroup(msgspec.Struct, kw_only=True):
    """Targets with the same labels, as Prometheus' `http_sd_configs` reads them."""

    targets: list[str]
    labels: dict[str, str]


class HoldRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Reason, and an optional id that makes the request idempotent."""

    reason: Text
    key: HoldKey | None = None
    owner: Person | None = None


class FleetRequest(Selected, forbid_unknown_fields=True, kw_only=True):
    """Reason for halting or resuming bots: all, or those of a team or a host."""

    reason: Text
    owner: Person | None = None


class ReleaseRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Reason, and ids of the holds; default: all of the bot."""

    reason: Text
    holds: Annotated[list[Key], msgspec.Meta(min_length=1, max_length=MANY)] | None = None
    owner: Person | None = None


class TargetQuery(Selected, forbid_unknown_fields=True, kw_only=True):
    """Filters of the list."""


class PlacedView(msgspec.Struct, kw_only=True):
    """Result of placing one hold."""

    target: str
    id: str
    state: HeldState
    stored: bool
    """Whether the hold is stored and survives a restart of the reconciler."""

    acknowledged: bool
    """Whether the bot has acknowledged it; false: it is sent again every second until it does."""

    detail: str


class PlacedPage(msgspec.Struct, kw_only=True):
    """Result of placing the hold on each bot."""

    holds: list[PlacedView]


class ReleasedView(msgspec.Struct, kw_only=True):
    """The released holds, and those still in force."""

    target: str
    ids: list[str]
    remaining: list[Hold]
    detail: str


class ReleasedPage(msgspec.Struct, kw_only=True):
    """Result of releasing the holds of each bot that had any."""

    released: list[ReleasedView]


class _Suppressions(msgspec.Struct, kw_only=True):
    pause: Pause | None
    windows: list[Maintenance]
    open: dict[str, int]


class TargetRoutes:
    """Handlers of `targets`, except `reset-budget`."""

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        registry: Registry,
        holding: HoldManager,
        silences: Callable[[], Mapping[str, Sequence[Silence]]],
        probes: Callable[[], Mapping[str, ProbeState]],
        *,
        observe_only: bool,
        two_person_approval: bool,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._registry = registry
        self._holding = holding
        self._silences = silences
        self._probes = probes
        self._observe_only = observe_only
        self._two_person_approval = two_person_approval

    async def show(self, query: TargetQuery) -> TargetPage:
        """Return the registered targets with their holds, open incidents and automation."""
        now, names = clock.now(), query.names(self._registry)
        suppressions = await self._reader.read(partial(_read, now=now))
        holds: dict[str, list[Hold]] = {}
        for hold in self._holding.active:
            holds.setdefault(hold.target, []).append(hold)
        return TargetPage(
            targets=[
                self._view(target, holds.get(target.name, []), suppressions, now)
                for target in self._registry
                if names is None or target.name in names
            ]
        )

    async def discover(self, name: str) -> list[TargetGroup]:
        """Return a discovery file for `http_sd_configs`, such as `bots`."""
        files = discovery(self._registry)
        if name not in files:
            not_found(f"no discovery file {name}: one of {', '.join(files)}")
        return msgspec.convert(files[name], list[TargetGroup])

    async def halt(self, identity: Identity, name: str, body: HoldRequest) -> PlacedView:
        """Halt a bot: no new or amended orders; cancels and queries still work."""
        return await self._place(identity, self._bot(name), HeldState.HALTED, body)

    async def reduce(self, identity: Identity, name: str, body: HoldRequest) -> PlacedView:
        """Put a bot in reduce-only mode."""
        return await self._place(identity, self._bot(name), HeldState.REDUCING, body)

    async def halt_all(self, identity: Identity, body: FleetRequest) -> PlacedPage:
        """Halt all bots at once, or those of a team or a host."""
        bots, state = self._selected_bots(body), HeldState.HALTED
        owner = identity.actor(body.owner)
        placed = await self._holding.place_all(bots, state.value, owner=owner, reason=body.reason)
        return PlacedPage(holds=[_placed(*pair, state) for pair in zip(bots, placed, strict=True)])

    async def resume_all(self, identity: Identity, body: FleetRequest) -> ReleasedPage:
        """Release all holds of all bots, or of those of a team or a host.

        One that cannot be resumed does not stop the others.
        """
        if self._two_person_approval:
            conflict(
                "settings.yml has `two_person_approval: true`: releases are approved per bot. "
                "Fix: resume the bots one by one"
            )
        await self._holding.refresh()
        actor = identity.actor(body.owner)
        held = [bot for bot in self._selected_bots(body) if self._holds(bot.name)]
        turn = asyncio.Semaphore(AT_A_TIME)

        async def release(bot: Target) -> ReleasedView:
            try:
                async with turn:
                    released = await self._holding.release(
                        bot, ids=None, owner=actor, reason=body.reason
                    )
                ids, detail = sorted(released.ids), released.detail
            except (ClientError, StoreError) as error:
                ids, detail = [], f"not released: {error}"
            remaining = self._holds(bot.name)
            return ReleasedView(target=bot.name, ids=ids, remaining=remaining, detail=detail)

        return ReleasedPage(released=list(await asyncio.gather(*map(release, held))))

    async def resume(self, identity: Identity, name: str, body: ReleaseRequest) -> ReleasedView:
        """Release holds of a bot: it trades again when none is left."""
        bot = self._registry.find(name)
        if bot is None:  # it may have been renamed or removed since
            await self._holding.refresh()
        if bot is not None or not self._holds(name):
            bot = self._bot(name)
        ids = None if body.holds is None else frozenset(body.holds)
        actor = identity.actor(body.owner)
        if self._two_person_approval:
            # An approval is for the holds that the other operator saw, so list them explicitly.
            ids = ids or frozenset(hold.id for hold in self._holds(name))
            if not ids:
                conflict(f"{name} has no known holds: nothing to approve")
            await self._spend_approval(name, ids, actor)
        if bot is None:
            released = await self._holding.release_unregistered(
                name, ids, owner=actor, reason=body.reason
            )
        else:
            released = await self._holding.release(bot, ids=ids, owner=actor, reason=body.reason)
        return ReleasedView(
            target=name,
            ids=sorted(released.ids),
            remaining=self._holds(name),
            detail=released.detail,
        )

    async def _spend_approval(self, name: str, ids: frozenset[str], actor: str) -> None:
        """Refuse unless another operator has approved the release of these holds; single use.

        It is the same approval as for the action `resume_trading`.
        """
        params = {"holds": ",".join(sorted(ids))}
        approval = await self._writer.run(
            partial(_approval, target=name, params=params, actor=actor, now=clock.now())
        )
        if approval is not None:
            conflict(
                "settings.yml has `two_person_approval: true`, and no other operator has "
                f"approved the release of {params['holds']} on {name}. Fix: have another operator "
                f"run `trading-ops approve {approval.id}`, then resume these holds again"
            )

    async def _place(
        self,
        identity: Identity,
        bot: Target,
        state: HeldState,
        body: HoldRequest,
    ) -> PlacedView:
        placed = await self._holding.place(
            bot,
            state.value,
            owner=identity.actor(body.owner),
            reason=body.reason,
            key=body.key,
        )
        return _placed(bot, placed, state)

    def _selected_bots(self, request: FleetRequest) -> list[Target]:
        names = request.names(self._registry)
        bots = [bot for bot in self._registry.bots if names is None or bot.name in names]
        if names is not None and not bots:
            raise NothingSelected(f"no bot among {', '.join(sorted(names))}")
        return bots

    def _bot(self, name: str) -> Target:
        target = self._registry.find(name)
        if target is None:
            not_found("unknown target: no such name in targets.yml")
        if target.kind not in BOTS:
            invalid(
                f"{target.name} is of kind {target.kind}: only these kinds can be halted, reduced "
                f"and resumed: {', '.join(sorted(BOTS))}"
            )
        return target

    def _holds(self, name: str) -> list[Hold]:
        return list(self._holding.of(name))

    def _view(
        self, target: Target, holds: list[Hold], suppressions: _Suppressions, now: datetime
    ) -> TargetView:
        automation, note = self._automation(target, suppressions, now)
        return TargetView(
            name=target.name,
            kind=target.kind,
            venue=target.venue,
            team=target.team,
            host=target.host,
            open_incidents=suppressions.open.get(target.name, 0),
            holds=holds,
            in_force=[hold.id for hold in holds if self._holding.is_acknowledged(hold.id)],
            silences=[silence_view(silence) for silence in self._silences().get(target.name, ())],
            automation=automation,
            automation_note=note,
            agent=_said(self._probes().get(target.name)),
        )

    def _automation(
        self, target: Target, suppressions: _Suppressions, now: datetime
    ) -> tuple[str, str]:
        if suppressions.pause is not None:
            return "paused", f"by {suppressions.pause.owner}: {suppressions.pause.reason}"
        if self._observe_only or target.observe_only:
            return "observe_only", "everywhere" if self._observe_only else "this target"
        window = covering(suppressions.windows, target.name, now)
        if window is not None:
            return "maintenance", f"by {window.owner}: {window.reason}"
        return "acts", ""


def _said(probe: ProbeState | None) -> AgentView | None:
    if probe is None or probe.answered is None or probe.report is None:
        return None
    health = probe.report.health
    return AgentView(
        state=health.state,
        status=health.status,
        answered_at=probe.answered,
        heartbeat_at=_moment(health.heartbeat_at),
        components={name: component.up for name, component in health.components.items()},
    )


def _moment(seconds: float | None) -> datetime | None:
    """Parse a time that a bot reported; None if it is invalid."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def silence_view(silence: Silence) -> SilenceView:
    """Return a silence as the API shows it."""
    return SilenceView(
        id=silence.id,
        owner=silence.created_by,
        comment=silence.comment,
        ends_at=silence.ends_at,
        matchers=[str(matcher) for matcher in silence.matchers],
    )


def _read(connection: Connection, now: datetime) -> _Suppressions:
    counted = search.open_by_target(connection)
    return _Suppressions(
        pause=maintenance.current_pause(connection, now=now),
        windows=maintenance.current(connection, now=now),
        open={name: count for name, count in counted.items() if name is not None},
    )


def _approval(
    connection: Connection, *, target: str, params: dict[str, str], actor: str, now: datetime
) -> Approval | None:
    """Consume the approval of a release; without one, return the new request."""
    action = ResumeTrading.name
    bound = digest(incident_id=None, action=action, target=target, params=params, step=None)
    if approvals.use(connection, bound, attempt_id=None, now=now):
        return None
    return approvals.request(
        connection,
        incident_id=None,
        action=action,
        target=target,
        params=params,
        step=None,
        requested_by=actor,
        now=now,
    )


def _placed(bot: Target, placed: Placed, state: HeldState) -> PlacedView:
    return PlacedView(
        target=bot.name,
        id=placed.id,
        state=state,
        stored=placed.stored,
        acknowledged=placed.acknowledged,
        detail=placed.detail,
    )

"""A halt reaches the bot whatever is broken, is never forgotten, and ends by an operator's word."""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import Connection

from tests.builders import make_attempt
from tests.service.holds.bots import RealAgent
from tests.service.holds.conftest import Desk
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.agent.fence import MAXIMUM_FENCE
from trading_ops.domain.hold import HeldState, Hold, unresponsive_halt_id
from trading_ops.errors import Refused, StoreError, Unreachable
from trading_ops.holds.holds import AT_A_TIME, HoldManager
from trading_ops.store import attempts, events, holds
from trading_ops.store.events import TimelineEvent

_SECONDS = timedelta(seconds=2)
ADA = {"owner": "ada", "reason": "odd fills"}


async def test_a_halt_is_stored_sent_and_reported(desk: Desk, bot: RealAgent) -> None:
    """The plain case: in force, in the database, with two events."""
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    assert (placed.stored, placed.acknowledged) == (True, True)
    assert (bot.state, bot.holds) == ("halted", {placed.id})
    assert await desk.active_holds() == {placed.id: "halted"}
    assert await desk.kinds() == ["hold_placed", "hold_acknowledged"]
    assert desk.journal.entries() == []
    assert desk.holding.unsettled == 0


async def test_the_same_key_is_one_hold_and_the_stricter_stands(desk: Desk, bot: RealAgent) -> None:
    """Asked for twice by anyone, it is released once."""
    for state in ("reducing", "halted", "reducing"):
        await desk.holding.place(desk.target, state, **ADA, key="k")
    assert (bot.state, bot.holds) == ("halted", {"k"})
    assert await desk.active_holds() == {"k": "halted"}


async def test_without_a_database_the_halt_goes_out_and_is_journalled(
    desk: Desk, bot: RealAgent
) -> None:
    """It is said, and settled as soon as the database is back."""
    desk.break_database()
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    assert (placed.stored, placed.acknowledged, bot.state) == (True, True, "halted")
    assert "journal" in placed.detail
    assert [entry["id"] for entry in desk.journal.entries()] == [placed.id]
    await desk.holding.settle_journal()
    assert desk.holding.unsettled == 1
    desk.repair_database()
    await desk.holding.settle_journal()
    assert (desk.holding.unsettled, desk.journal.entries()) == (0, [])
    assert await desk.active_holds() == {placed.id: "halted"}
    await desk.holding.settle_journal()
    assert (await desk.kinds()).count("hold_stored") == 1


async def test_a_stuck_database_delays_nothing_but_the_answer(
    desk: Desk, bot: RealAgent, timeouts: Callable[[float], None]
) -> None:
    """The writer hangs: the bot is halted meanwhile, not afterwards."""
    timeouts(3)
    release = threading.Event()
    desk.writer.submit(lambda _: release.wait(20))
    try:
        placing = asyncio.create_task(desk.holding.place(desk.target, "halted", **ADA))
        await eventually(lambda: bot.state == "halted")
        assert not placing.done()
        placed = await placing
        assert (placed.stored, placed.acknowledged) == (True, True)
        assert [entry["id"] for entry in desk.journal.entries()] == [placed.id]
    finally:
        release.set()
    await eventually(lambda: desk.writer.waiting == 0)
    await desk.holding.settle_journal()
    assert await desk.active_holds() == {placed.id: "halted"}


async def test_with_the_disk_full_too_the_halt_goes_out_and_that_is_reported(
    desk: Desk, bot: RealAgent, tmp_path: Path
) -> None:
    """Nothing takes it: it is sent all the same, and stored when something does again."""
    (tmp_path / "var").write_text("in the way")
    desk.break_database()
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    assert (placed.stored, placed.acknowledged, bot.state) == (False, True, "halted")
    assert "NOT STORED" in placed.detail
    desk.repair_database()
    await desk.holding.settle_journal()
    assert await desk.active_holds() == {placed.id: "halted"}


async def test_killed_between_the_journal_and_the_database(desk: Desk, bot: RealAgent) -> None:
    """The next life finds the hold in the journal, places it, and settles it, once."""
    bot.stop()
    desk.break_database()
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    assert (placed.stored, placed.acknowledged) == (True, False)
    assert "not acknowledged" in placed.detail
    after = desk.again()
    bot.start()
    await after.enforce()
    assert (bot.state, bot.holds) == ("halted", {placed.id})
    desk.repair_database()
    await after.settle_journal()
    assert await desk.active_holds() == {placed.id: "halted"}
    # Killed once more, before the journal was shortened: the same entry again changes nothing.
    entry = {
        "id": placed.id,
        "target": "alpha",
        "state": "halted",
        "owner": "ada",
        "reason": "odd fills",
        "at": "2026-01-01T00:00:00+00:00",
    }
    await after.release(desk.target, ids=None, owner="bert", reason="fixed")
    desk.journal.append(entry)
    third = desk.again()
    await third.settle_journal()
    await third.enforce()
    assert await desk.active_holds() == {}
    assert (bot.state, desk.journal.entries()) == ("active", [])


async def test_strange_journal_entries_keep_nothing_from_its_place(
    desk: Desk, bot: RealAgent
) -> None:
    """A line that is whole and says nonsense is left out; the others count."""
    desk.journal.append({"id": "odd"})
    desk.journal.append({"id": "odd2", "target": "a", "state": "free", "at": "now"})
    fine = {"target": "alpha", "owner": "ada", "reason": "r", "at": "2026-01-01T00:00:00+00:00"}
    desk.journal.append({"id": "fine", "state": "reducing", **fine})
    after = desk.again()
    assert after.unsettled == 1
    await after.enforce()
    assert bot.state == "reducing"


async def test_neither_a_restart_nor_a_lost_file_releases_a_halt(
    desk: Desk, bot: RealAgent
) -> None:
    """What the bot has forgotten is placed again, by a reconciler that was restarted too."""
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    bot.stop()
    bot.forget()
    bot.start()
    assert bot.state == "active"
    await desk.again().enforce()
    assert (bot.state, bot.holds) == ("halted", {placed.id})
    assert await desk.kinds() == ["hold_placed", "hold_acknowledged", "hold_reapplied"]


async def test_an_acknowledgement_is_reported_once(desk: Desk, bot: RealAgent) -> None:
    """Not again by the reconciler's next life, nor by another replica; a new hold is sent."""
    placed = await desk.holding.place(desk.target, "halted", **ADA, key="k")
    for _ in range(2):
        after = desk.again()
        await after.enforce()
        assert after.is_acknowledged(placed.id)
    assert await desk.kinds() == ["hold_placed", "hold_acknowledged"]
    await desk.holding.release(desk.target, ids=None, owner="bert", reason="fixed")
    await desk.holding.place(desk.target, "halted", **ADA, key="k")
    await desk.again().enforce()
    assert (await desk.kinds())[2:] == [
        "hold_release_requested",
        "hold_released",
        "hold_placed",
        "hold_acknowledged",
    ]


async def test_a_hold_that_was_found_at_the_bot_is_known_to_be_in_force(
    desk: Desk, bot: RealAgent
) -> None:
    """The finding is recorded once; nothing is recorded after that."""
    await desk.directory.bot(desk.target).command(
        "halt", {**ADA, "id": "by-hand"}, attempt_id="x", fence=0, within=_SECONDS
    )
    for _ in range(3):
        await desk.again().enforce()
    assert await desk.kinds() == ["hold_adopted"]


async def test_a_weaker_hold_of_the_same_name_is_made_strict_again(
    desk: Desk, bot: RealAgent
) -> None:
    """The bot has it as `reducing`, here it is `halted`: halted it is."""
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    bot.stop()
    bot.forget()
    bot.start()
    http = desk.directory.bot(desk.target)
    await http.health()
    await http.command("reduce", {**ADA, "id": placed.id}, attempt_id="x", fence=0, within=_SECONDS)
    assert bot.state == "reducing"
    await desk.holding.enforce()
    assert bot.state == "halted"


async def test_while_the_database_is_away_what_was_known_is_enforced(
    desk: Desk, bot: RealAgent
) -> None:
    """A bot that forgets during the outage is halted all the same."""
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    desk.break_database()
    bot.stop()
    bot.forget()
    bot.start()
    await desk.holding.enforce()
    assert (bot.state, bot.holds) == ("halted", {placed.id})


async def test_a_person_releases_what_is_named_and_no_more(desk: Desk, bot: RealAgent) -> None:
    """By name, then all; who and why are kept."""
    first = await desk.holding.place(desk.target, "halted", **ADA)
    second = await desk.holding.place(desk.target, "reducing", **ADA)
    release = {"owner": "bert", "reason": "fixed"}
    released = await desk.holding.release(desk.target, ids=frozenset({first.id}), **release)
    assert (set(released.ids), bot.state) == ({first.id}, "reducing")
    assert await desk.active_holds() == {second.id: "reducing"}
    released = await desk.holding.release(desk.target, ids=None, **release)
    assert (set(released.ids), bot.state) == ({second.id}, "active")
    await desk.holding.enforce()
    assert (bot.state, await desk.active_holds()) == ("active", {})
    kinds = await desk.kinds()
    assert (kinds.count("hold_released"), kinds.count("hold_release_requested")) == (2, 2)


async def test_nothing_is_released_without_the_database(
    desk: Desk, bot: RealAgent, timeouts: Callable[[float], None]
) -> None:
    """To trade again must not rest on a word that no one has written down."""
    await desk.holding.place(desk.target, "halted", **ADA)
    timeouts(1)
    release = threading.Event()
    desk.writer.submit(lambda _: release.wait(20))
    try:
        with pytest.raises(StoreError, match="no hold was released on alpha"):
            await desk.holding.release(desk.target, ids=None, owner="bert", reason="fixed")
    finally:
        release.set()
    assert bot.state == "halted"


async def test_nothing_is_released_without_the_bot(desk: Desk, bot: RealAgent) -> None:
    """It does not answer, or cannot store it: the holds stand, here too."""
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    release = {"owner": "bert", "reason": "fixed"}
    (bot.folder / ".holds.json.new").mkdir()
    with pytest.raises(Refused, match="alpha released no holds"):
        await desk.holding.release(desk.target, ids=None, **release)
    bot.stop()
    with pytest.raises(Unreachable, match="holds stay"):
        await desk.holding.release(desk.target, ids=None, **release)
    assert await desk.active_holds() == {placed.id: "halted"}


async def release_at_bot(desk: Desk, hold_id: str, owner: str = "ada (token ada)") -> None:
    """Do what anyone with the agent's token can do, under any name."""
    params = {"owner": owner, "reason": "all clear", "holds": hold_id}
    await desk.directory.bot(desk.target).command(
        "resume", params, attempt_id=f"by-hand-{owner}", fence=0, within=_SECONDS
    )


async def event_of(desk: Desk, kind: str, holding: HoldManager | None = None) -> TimelineEvent:
    """Make the bot and the database agree until the timeline has an event; return it.

    Once is not enough on a slow machine: what the database does not store in time is tried again.
    """

    async def ask() -> TimelineEvent | None:
        await (holding or desk.holding).enforce()
        timeline = await desk.reader.read(lambda c: events.since(c, 0))
        return next((event for event in timeline if event.kind == kind), None)

    event: TimelineEvent = await eventually(ask, what=f"an event {kind}")
    return event


async def test_a_persons_hold_that_is_released_at_the_bot_is_placed_again(
    desk: Desk, bot: RealAgent
) -> None:
    """Only the API knows who orders a release; the agent's claim is in the note of the event."""
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    await release_at_bot(desk, placed.id)
    assert bot.state == "active"
    event = await event_of(desk, "hold_reapplied")

    async def is_halted() -> bool:
        await desk.holding.enforce()
        return bot.state == "halted"

    await eventually(is_halted)
    assert await desk.active_holds() == {placed.id: "halted"}
    assert event.actor == "agent:alpha"
    assert "ada" in event.note
    assert "token" not in event.note
    assert set(desk.reapplied) == {"alpha"}


async def test_a_setting_allows_the_release_at_the_bot(desk: Desk, bot: RealAgent) -> None:
    """The event's actor is the agent all the same."""
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    await release_at_bot(desk, placed.id)
    event = await event_of(desk, "hold_released", desk.again(release_at_bot=True))
    assert event.actor == "agent:alpha"
    assert (bot.state, await desk.active_holds()) == ("active", {})


async def test_a_hold_that_was_placed_at_the_bot_is_released_there(
    desk: Desk, bot: RealAgent
) -> None:
    """It was never ours to keep against the bot's word."""
    await desk.directory.bot(desk.target).command(
        "halt", {**ADA, "id": "by-hand"}, attempt_id="x", fence=0, within=_SECONDS
    )
    await event_of(desk, "hold_adopted")
    await release_at_bot(desk, "by-hand")
    await event_of(desk, "hold_released")
    assert (bot.state, await desk.active_holds()) == ("active", {})


@pytest.mark.parametrize("way", ["all", "named", "action"])
async def test_a_release_that_was_ordered_here_is_learnt_from_the_bot(
    desk: Desk, bot: RealAgent, way: str
) -> None:
    """The bot's answer was lost: the timeline has who ordered it, and not who the bot says."""
    placed = await desk.holding.place(desk.target, "halted", **ADA)

    def order(connection: Connection) -> None:
        if way == "action":
            attempt = make_attempt(
                incident_id=None,
                action="resume_trading",
                params={"holds": f"other, {placed.id}"},
                requested_by="bert",
                started_at=clock.now(),
            )
            attempts.add(connection, attempt)
            return
        holds.note(
            connection,
            hold_id="all" if way == "all" else f"other, {placed.id}",
            target="alpha",
            kind="hold_release_requested",
            actor="bert",
            text="fixed",
            now=clock.now(),
        )

    await desk.writer.run(order)
    await release_at_bot(desk, placed.id)
    assert (await event_of(desk, "hold_released")).actor == "bert"
    assert (bot.state, await desk.active_holds()) == ("active", {})


async def test_a_hold_placed_at_the_bot_itself_is_kept_too(desk: Desk, bot: RealAgent) -> None:
    """So that it outlives the bot's own file."""
    await desk.directory.bot(desk.target).command(
        "halt", {**ADA, "id": "by-hand"}, attempt_id="x", fence=0, within=_SECONDS
    )
    await desk.holding.enforce()
    assert await desk.active_holds() == {"by-hand": "halted"}
    bot.stop()
    bot.forget()
    bot.start()
    await desk.holding.enforce()
    assert (bot.state, bot.holds) == ("halted", {"by-hand"})


@pytest.mark.parametrize("ids", [None, frozenset({"step"})])
async def test_a_hold_that_no_one_here_knew_of_is_released_and_reported(
    desk: Desk, bot: RealAgent, ids: frozenset[str] | None
) -> None:
    """Placed by a step a moment ago, before the bot's next report: the timeline has both ends."""
    await desk.directory.bot(desk.target).command(
        "halt", {**ADA, "id": "step"}, attempt_id="x", fence=0, within=_SECONDS
    )
    released = await desk.holding.release(desk.target, ids=ids, owner="bert", reason="fixed")
    assert (set(released.ids), released.detail) == ({"step"}, "holds released by bert: 1")
    assert await desk.kinds() == ["hold_release_requested", "hold_adopted", "hold_released"]
    timeline = await desk.reader.read(lambda c: events.since(c, 0))
    assert [event.actor for event in timeline] == ["bert", "agent:alpha", "bert"]
    await desk.holding.enforce()
    assert (bot.state, await desk.active_holds()) == ("active", {})


async def test_what_a_bot_says_it_released_releases_no_other_bots_hold(
    desk: Desk, bot: RealAgent
) -> None:
    """The id stands for another bot in the database: there it stays active."""
    taken = Hold(
        id="h1", target="beta", state=HeldState.HALTED, owner="x", reason="y", at=clock.now()
    )
    await desk.writer.run(lambda c: holds.place(c, taken, now=clock.now()))
    await desk.directory.bot(desk.target).command(
        "halt", {**ADA, "id": "h1"}, attempt_id="x", fence=0, within=_SECONDS
    )
    released = await desk.holding.release(desk.target, ids=None, owner="bert", reason="fixed")
    assert (set(released.ids), bot.state) == ({"h1"}, "active")
    assert await desk.active_holds() == {"h1": "halted"}


async def test_a_hold_that_never_came_into_force_can_be_withdrawn(
    desk: Desk, bot: RealAgent
) -> None:
    """One that did is only released by an operator."""
    bot.stop()
    lost = await desk.holding.place(desk.target, "halted", **ADA)
    assert await desk.holding.withdraw(desk.target, lost.id, reason="its process is gone")
    bot.start()
    await desk.holding.enforce()
    assert (bot.state, await desk.active_holds()) == ("active", {})
    assert (await desk.kinds())[-1] == "hold_withdrawn"
    kept = await desk.holding.place(desk.target, "halted", **ADA)
    assert not await desk.holding.withdraw(desk.target, kept.id, reason="no")
    assert bot.state == "halted"


SILENCE = {"owner": "reconciler", "reason": "silent"}


async def test_the_halt_of_an_unresponsive_bot_is_not_placed_on_the_next_life(
    desk: Desk, bot: RealAgent
) -> None:
    """Another replica than the one that asked for it is first: the next life stays free."""
    key = unresponsive_halt_id("alpha", bot.incarnation)
    bot.stop()
    placed = await desk.holding.place(desk.target, "halted", **SILENCE, key=key)
    assert not placed.acknowledged
    bot.start()
    other = desk.again()
    for _ in range(2):
        await other.enforce()
    assert (bot.state, await desk.active_holds()) == ("active", {key: "halted"})
    assert await desk.holding.withdraw(desk.target, key, reason="another process answers now")
    await other.enforce()
    assert (bot.state, other.active) == ("active", ())


async def test_the_halt_of_an_unresponsive_bot_is_placed_on_the_life_that_it_is_of(
    desk: Desk, bot: RealAgent
) -> None:
    """It was only mute: whichever replica hears it first, it is halted."""
    key = unresponsive_halt_id("alpha", bot.incarnation)
    hold = Hold(id=key, target="alpha", state=HeldState.HALTED, at=clock.now(), **SILENCE)
    await desk.writer.run(lambda c: holds.place(c, hold, now=clock.now()))
    await desk.again().enforce()
    assert (bot.state, bot.holds) == ("halted", {key})


async def test_the_halt_of_an_unresponsive_bot_that_was_in_force_is_for_every_life(
    desk: Desk, bot: RealAgent
) -> None:
    """Its process dies and its file is lost: a replica that only knows the database places it."""
    key = unresponsive_halt_id("alpha", bot.incarnation)
    await desk.holding.place(desk.target, "halted", **SILENCE, key=key)
    bot.stop()
    bot.forget()
    bot.start()
    other = desk.again()
    assert not await other.withdraw(desk.target, key, reason="another process answers now")
    await other.enforce()
    assert (bot.state, bot.holds, await desk.active_holds()) == ("halted", {key}, {key: "halted"})


async def test_the_halt_of_an_unresponsive_bot_whose_asker_has_died_is_taken_back(
    desk: Desk, bot: RealAgent
) -> None:
    """It would stand for ever without being in force anywhere."""
    key = unresponsive_halt_id("alpha", "0:0")
    at = clock.now() - timedelta(seconds=11)
    hold = Hold(id=key, target="alpha", state=HeldState.HALTED, at=at, **SILENCE)
    await desk.writer.run(lambda c: holds.place(c, hold, now=clock.now()))
    await desk.holding.enforce()
    assert (bot.state, await desk.active_holds()) == ("active", {})
    assert await desk.kinds() == ["hold_placed", "hold_withdrawn"]


async def test_without_a_database_a_silences_halt_stays_with_its_life(
    desk: Desk, bot: RealAgent
) -> None:
    """Whether it was ever in force is unknown: do not place a hold of a previous process."""
    key = unresponsive_halt_id("alpha", bot.incarnation)
    bot.stop()
    desk.break_database()
    await desk.holding.place(desk.target, "halted", **SILENCE, key=key)
    bot.start()
    await desk.holding.enforce()
    assert bot.state == "active"
    desk.repair_database()
    assert await desk.holding.withdraw(desk.target, key, reason="another process answers now")
    assert await desk.active_holds() == {}


async def test_what_another_replica_released_is_not_taken_for_being_in_force(
    desk: Desk, bot: RealAgent
) -> None:
    """Or the same life, unresponsive once more, would be neither halted nor stopped."""
    key = unresponsive_halt_id("alpha", bot.incarnation)
    await desk.holding.place(desk.target, "halted", **SILENCE, key=key)
    await desk.again().release(desk.target, ids=None, owner="bert", reason="fixed")
    await desk.holding.enforce()
    assert not desk.holding.is_acknowledged(key)


@pytest.mark.parametrize(
    "text", ["", "\0", "\ud800", "x" * 10_000, "'; DROP TABLE holds; --", "zeile\r\nzwei\u2028"]
)
async def test_hostile_texts_keep_no_halt_from_being_placed(
    desk: Desk, bot: RealAgent, text: str
) -> None:
    """With the database, and through the journal."""
    placed = await desk.holding.place(desk.target, "halted", owner=text, reason=text)
    assert (placed.stored, placed.acknowledged, bot.state) == (True, True, "halted")
    desk.break_database()
    spilt = await desk.holding.place(desk.target, "halted", owner=text, reason=text)
    desk.repair_database()
    await desk.again().settle_journal()
    assert (await desk.active_holds()).keys() == {placed.id, spilt.id}


async def test_a_bot_that_only_says_yes_has_acknowledged_nothing(
    desk: Desk, bot: RealAgent
) -> None:
    """Not before its own report shows the hold, in this state or a stricter one."""
    reported: list[dict[str, object]] = []

    async def say_yes(_: web.Request) -> web.Response:
        return web.json_response({"outcome": "succeeded", "detail": "halted"})

    async def health(_: web.Request) -> web.Response:
        health_reply = {"bot": "alpha", "status": "ok", "incarnation": "1:1", "state": "active"}
        return web.json_response(health_reply | {"components": {}, "holds": reported})

    bot.stop()
    app = web.Application()
    app.router.add_post("/commands/halt", say_yes)
    app.router.add_get("/health", health)
    async with TestServer(app, host="127.0.0.1", port=bot.port):
        placed = await desk.holding.place(desk.target, "halted", **ADA, key="x")
        assert (placed.stored, placed.acknowledged) == (True, False)
        hold = {"id": "x", "owner": "ada", "reason": "odd", "at": 1.0}
        reported.append(hold | {"state": "reducing"})
        assert not (await desk.holding.place(desk.target, "halted", **ADA, key="x")).acknowledged
        reported.append(hold | {"state": "halted"})
        assert (await desk.holding.place(desk.target, "halted", **ADA, key="x")).acknowledged


async def test_what_is_no_bot_is_not_halted(desk: Desk) -> None:
    """It is said, and nothing is raised."""
    venue = desk.registry.find("paper")
    assert venue is not None
    placed = await desk.holding.place(venue, "halted", **ADA)
    assert not placed.acknowledged
    assert "not a bot" in placed.detail


async def test_a_restart_of_the_bot_costs_no_halt(desk: Desk, bot: RealAgent) -> None:
    """The connection that was kept from its former life is closed: the command is sent again."""
    for _ in range(3):
        placed = await desk.holding.place(desk.target, "reducing", **ADA)
        assert placed.acknowledged
        released = await desk.holding.release(desk.target, ids=None, owner="bert", reason="next")
        assert released.ids == {placed.id}
        bot.stop()
        bot.start()


async def test_an_id_of_another_bots_hold_is_refused_and_reported(
    desk: Desk, bot: RealAgent
) -> None:
    """The bot obeys; the database keeps the hold that it has, and nothing else is held up."""
    taken = Hold(
        id="h1", target="beta", state=HeldState.HALTED, owner="x", reason="y", at=clock.now()
    )
    await desk.writer.run(lambda c: holds.place(c, taken, now=clock.now()))
    placed = await desk.holding.place(desk.target, "halted", **ADA, key="h1")
    assert (placed.stored, placed.acknowledged, bot.state) == (False, True, "halted")
    assert "belongs to a hold on beta" in placed.detail
    desk.journal.append(
        {
            "id": "h1",
            "target": "alpha",
            "state": "halted",
            "owner": "ada",
            "reason": "r",
            "at": "2026-01-01T00:00:00+00:00",
        }
    )
    after = desk.again()
    await after.settle_journal()
    await after.enforce()
    assert (after.unsettled, desk.journal.entries()) == (0, [])


async def test_settling_beside_a_halt_reports_it_once(desk: Desk) -> None:
    """What is being stored right now is not taken for what was left behind."""
    for _ in range(20):
        placing = asyncio.create_task(desk.holding.place(desk.target, "halted", **ADA))
        await asyncio.sleep(0)
        await desk.holding.settle_journal()
        await placing
    kinds = await desk.kinds()
    assert (kinds.count("hold_placed"), kinds.count("hold_stored")) == (20, 0)


@pytest.mark.parametrize("highest", [7, MAXIMUM_FENCE])
async def test_a_fence_from_elsewhere_does_not_block_a_persons_resume(
    desk: Desk, bot: RealAgent, highest: int
) -> None:
    """A command with the bot's own token may carry any fence that the agent takes."""
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    await desk.directory.bot(desk.target).raise_fence(highest)
    released = await desk.holding.release(desk.target, ids=None, **ADA)
    assert released.ids == {placed.id}
    assert (bot.state, await desk.active_holds()) == ("active", {})


async def test_holds_of_many_bots_are_stored_before_all_bots_are_notified(
    desk: Desk, bot: RealAgent
) -> None:
    """The bots that do not answer take all turns; the others' holds are stored meanwhile."""
    thaw = bot.freeze()
    try:
        many = [desk.target] * (AT_A_TIME + 1)
        placing = asyncio.create_task(desk.holding.place_all(many, "halted", **ADA))

        async def all_stored() -> bool:
            return len(await desk.active_holds()) == len(many)

        await eventually(all_stored)
        assert not placing.done()
    finally:
        thaw.set()
    placed = await placing
    assert {hold.id for hold in placed} == (await desk.active_holds()).keys()

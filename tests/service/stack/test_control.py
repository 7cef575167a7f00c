import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from tests.service.stack.small_processes import greeter, kill, supervising, until
from trading_ops.agent.fence import MAXIMUM_FENCE, FenceKeeper
from trading_ops.domain.target import Restarts
from trading_ops.node.scaled import Scaled
from trading_ops_lab.faults.noisy_neighbor import nice_of
from trading_ops_lab.supervisor.control import build
from trading_ops_lab.supervisor.supervisor import Supervisor
from trading_ops_lab.supervisor.unit import State, Unit

TOKEN = "a-token"

Answer = tuple[int, Any]


class Api:
    """A client of the API of a supervisor with one bot."""

    def __init__(self, supervisor: Supervisor, session: aiohttp.ClientSession) -> None:
        self.supervisor = supervisor
        self._session = session

    @property
    def bot(self) -> Unit:
        (unit,) = self.supervisor
        return unit

    async def get(self, path: str) -> Answer:
        async with self._session.get(path) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, body: object = None) -> Answer:
        async with self._session.post(path, json=body) as answer:
            return answer.status, await answer.json()

    async def refused(self) -> float:
        """Return the count of refused requests, as Prometheus reads it: without a token."""
        headers = {"Authorization": ""}
        async with self._session.get("/-/healthy", headers=headers) as answer:
            assert answer.status == 200
            text = await answer.text()
        (value,) = re.findall(r"^trading_ops_node_refused_total (\S+)$", text, re.MULTILINE)
        return float(value)

    async def restart(self, attempt: str, fence: int, incarnation: str | None = None) -> Answer:
        body = {"attempt_id": attempt, "fence": fence, "incarnation": incarnation}
        return await self.post("/processes/bot/restart", body)


@contextlib.asynccontextmanager
async def serving(
    folder: Path, token: str = TOKEN, *, two_person_approval: bool = False
) -> AsyncIterator[Api]:
    async with supervising(
        folder, greeter("bot", folder, restarts=Restarts.RECONCILER)
    ) as supervisor:
        await supervisor.start()
        keeper = FenceKeeper(folder / "fence.json")
        scaled = Scaled(folder / "scaled.json", {unit.name: unit for unit in supervisor})
        application = build(
            supervisor, keeper, TOKEN, scaled=scaled, two_person_approval=two_person_approval
        )
        async with (
            TestServer(application) as server,
            aiohttp.ClientSession(
                server.make_url(""), headers={"Authorization": f"Bearer {token}"}
            ) as session,
        ):
            yield Api(supervisor, session)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as made:
        yield made


async def test_processes_are_described(api: Api, tmp_path: Path) -> None:
    """The list tells everything that a reconciler or an operator wants to know."""
    status, body = await api.get("/processes")
    assert status == 200
    (described,) = body["processes"]
    assert described["unit"] == "bot"
    assert described["state"] == "ready"
    assert described["restarts_by"] == "reconciler"
    assert described["incarnation"] == api.bot.incarnation
    assert described["incarnation"].startswith(f"{described['pid']}:")
    assert described["log"] == str(tmp_path / "bot.log")
    assert described["restarts"] == 0
    assert described["exit_code"] is None
    assert await api.get("/processes/bot") == (200, described)
    assert (await api.get("/processes/other"))[0] == 404


async def test_a_dead_process_keeps_the_name_of_its_last_life(api: Api) -> None:
    """A restart can name the incarnation that died; its pid is not shown any more."""
    life = api.bot.incarnation
    kill(api.bot.child.pid if api.bot.child else None, signal.SIGKILL)
    await until(lambda: api.bot.state is State.EXITED)
    _, body = await api.get("/processes")
    (described,) = body["processes"]
    assert (described["pid"], described["incarnation"]) == (None, life)
    assert described["exit_code"] == -signal.SIGKILL
    status, answer = await api.restart("a", 1, life)
    assert (status, answer["outcome"]) == (200, "succeeded")


async def test_a_restart_makes_another_life(api: Api) -> None:
    """The answer names the new life, which is the one that runs."""
    before = api.bot.incarnation
    status, answer = await api.restart("a", 1, before)
    assert status == 200
    assert answer["attempt_id"] == "a"
    assert (answer["outcome"], answer["repeated"]) == ("succeeded", False)
    assert answer["incarnation"] == api.bot.incarnation != before
    assert answer["pid"] == (api.bot.child.pid if api.bot.child else None)
    await until(lambda: api.bot.state is State.READY)
    assert api.bot.restarts == 1


async def test_a_repeated_attempt_gets_the_first_answer(api: Api) -> None:
    """The same attempt id restarts nothing a second time, and its answer can be read."""
    _, first = await api.restart("a", 1)
    _, again = await api.restart("a", 1)
    assert again == {**first, "repeated": True}
    assert api.bot.incarnation == first["incarnation"]
    status, stored = await api.get("/attempts/a")
    assert (status, stored["incarnation"]) == (200, first["incarnation"])
    assert (await api.get("/attempts/b"))[0] == 404


async def test_a_restart_that_fails_has_an_answer_too(api: Api, tmp_path: Path) -> None:
    """The process is stopped then: a probe must see that, and the next caller may try again."""
    log = tmp_path / "bot.log"
    log.unlink()
    log.mkdir()
    status, answer = await api.restart("a", 1)
    assert (status, answer["outcome"]) == (200, "failed")
    assert "Is a directory" in answer["detail"]
    assert (await api.get("/attempts/a"))[1]["outcome"] == "failed"
    _, body = await api.get("/processes")
    (described,) = body["processes"]
    assert (described["state"], described["pid"]) == ("exited", None)
    assert described["problem"] in answer["detail"]
    log.rmdir()
    assert (await api.restart("b", 1))[1]["outcome"] == "succeeded"
    assert api.bot.problem is None


async def test_an_answer_that_cannot_be_stored_is_given_all_the_same(
    api: Api, tmp_path: Path
) -> None:
    """The disk fills up during the restart: it is reported to the caller, and to a probe."""
    in_the_way = tmp_path / ".fence.json.new"
    api.supervisor.listeners.append(lambda: in_the_way.mkdir(exist_ok=True))
    status, answer = await api.restart("a", 1)
    assert (status, answer["outcome"]) == (200, "succeeded")
    assert (await api.get("/attempts/a"))[0] == 200
    assert in_the_way.is_dir()
    assert (await api.restart("a", 1))[1]["repeated"]


async def test_a_restart_that_cannot_be_marked_is_not_begun(api: Api, tmp_path: Path) -> None:
    """Without a disk no one could tell afterwards whether it was done, so it is not."""
    life = api.bot.incarnation
    (tmp_path / ".fence.json.new").mkdir()
    assert (await api.restart("a", 0))[0] == 503
    assert api.bot.incarnation == life
    assert (await api.get("/attempts/a"))[0] == 404


async def test_a_restart_in_whose_middle_the_supervisor_died_is_unknown(tmp_path: Path) -> None:
    """The next supervisor neither denies it nor does it again, and tells which life was meant."""
    FenceKeeper(tmp_path / "fence.json").admit("bot", 4, attempt_id="a", mark={"before": "1:1"})
    async with serving(tmp_path) as api:
        status, reply = await api.get("/attempts/a")
        assert (status, reply["outcome"], reply["before"]) == (200, "unknown", "1:1")
        life = api.bot.incarnation
        _, again = await api.restart("a", 4)
        assert (again["outcome"], again["repeated"]) == ("unknown", True)
        assert api.bot.incarnation == life


async def test_one_life_is_stopped_for_a_machine(api: Api, tmp_path: Path) -> None:
    """Whatever its fence and the disk; not another incarnation, and a repetition is reported."""
    await api.post("/processes/bot/fence", {"fence": 7})
    (tmp_path / ".fence.json.new").mkdir()
    life = api.bot.incarnation
    order = {"attempt_id": "s", "fence": 0, "incarnation": "1:1"}
    assert (await api.post("/processes/bot/stop", order))[0] == 409
    assert api.bot.running
    order["incarnation"] = life
    status, answer = await api.post("/processes/bot/stop", order)
    assert (status, answer["outcome"], answer["before"]) == (200, "succeeded", life)
    assert api.bot.state is State.STOPPED
    assert (await api.post("/processes/bot/stop", order))[1]["repeated"]
    (tmp_path / ".fence.json.new").rmdir()
    assert (await api.restart("a", 7, life))[1]["outcome"] == "succeeded"
    await until(lambda: api.bot.state is State.READY)


@pytest.mark.parametrize("fence", [MAXIMUM_FENCE + 1, 2**63 - 1, 2**80, -1, 1.5, True, "7"])
async def test_an_impossible_fence_is_refused(api: Api, fence: object) -> None:
    """Stored, it would be above every fence that a reconciler can have."""
    life = api.bot.incarnation
    order = {"attempt_id": "a", "fence": fence, "incarnation": life}
    for path, body in (("fence", {"fence": fence}), ("restart", order), ("stop", order)):
        status, answer = await api.post(f"/processes/bot/{path}", body)
        assert (status, answer["error"]) == (422, "bad_request")
    assert api.bot.incarnation == life
    assert api.bot.running
    assert await api.post("/processes/bot/fence", {"fence": MAXIMUM_FENCE - 1}) == (
        200,
        {"highest": MAXIMUM_FENCE - 1},
    )


async def test_a_frozen_process_is_killed_after_its_grace(api: Api) -> None:
    """SIGTERM is not heard by what does not run: SIGKILL is."""
    kill(api.bot.child.pid if api.bot.child else None, signal.SIGSTOP)
    order = {
        "attempt_id": "s",
        "fence": 0,
        "incarnation": api.bot.incarnation,
        "grace_seconds": 0.05,
    }
    assert (await api.post("/processes/bot/stop", order))[0] == 200
    assert (api.bot.state, api.bot.exit_code) == (State.STOPPED, -signal.SIGKILL)


async def test_an_older_sender_is_refused(api: Api) -> None:
    """A fence below the highest one seen does nothing and hears which that is."""
    life = api.bot.incarnation
    assert await api.post("/processes/bot/fence", {"fence": 7}) == (200, {"highest": 7})
    assert await api.restart("a", 6) == (409, {"error": "stale_fence", "highest": 7})
    assert api.bot.incarnation == life
    assert await api.post("/processes/bot/fence", {"fence": 3}) == (200, {"highest": 7})


async def test_another_life_is_not_restarted(api: Api) -> None:
    """An order for a life that is over does nothing and hears which one runs."""
    life = api.bot.incarnation
    status, body = await api.restart("a", 1, "1:1")
    assert (status, body) == (409, {"error": "other_incarnation", "incarnation": life})
    assert api.bot.incarnation == life
    assert (await api.get("/attempts/a"))[0] == 404


async def test_fences_and_answers_outlive_the_supervisor(tmp_path: Path) -> None:
    """A new supervisor refuses what the old one would, and knows what it did."""
    async with serving(tmp_path) as api:
        _, first = await api.restart("a", 5)
    async with serving(tmp_path) as api:
        assert (await api.restart("b", 4))[0] == 409
        _, again = await api.restart("a", 5)
        assert again == {**first, "repeated": True}


async def test_without_the_token_nothing_is_reported_or_done(tmp_path: Path) -> None:
    """A wrong token is refused before anything else is looked at."""
    async with serving(tmp_path, token="wrong") as api:
        life = api.bot.incarnation
        assert (await api.get("/processes"))[0] == 401
        assert (await api.restart("a", 1))[0] == 401
        assert (await api.post("/shutdown"))[0] == 401
        assert api.bot.incarnation == life
        assert not api.supervisor.asked_to_stop.is_set()
        assert await api.refused() == 3


async def test_one_person_alone_restarts_and_updates_nothing(tmp_path: Path) -> None:
    """The reconciler's orders, which have a fence, and a stop are carried out."""
    async with serving(tmp_path, two_person_approval=True) as api:
        life = api.bot.incarnation
        alone = {"attempt_id": "a", "fence": None, "incarnation": life}
        status, answer = await api.post("/processes/bot/restart", alone)
        assert (status, "two_person_approval" in answer["error"]) == (403, True)
        update = {"attempt_id": "u", "incarnation": life, "python": sys.executable}
        status, answer = await api.post("/processes/bot/update", update)
        assert (status, "two_person_approval" in answer["error"]) == (403, True)
        assert api.bot.incarnation == life
        assert (await api.restart("b", 1, life))[1]["outcome"] == "succeeded"
        assert (await api.post("/processes/bot/stop"))[0] == 200
        assert api.bot.state is State.STOPPED


@pytest.mark.parametrize(
    "body", [None, {}, {"attempt_id": "a"}, {"attempt_id": "a", "fence": "1"}, {"fence": 1}]
)
async def test_an_order_that_says_too_little_is_refused(api: Api, body: object) -> None:
    """Without an attempt id and a fence nothing is done."""
    assert (await api.post("/processes/bot/restart", body))[0] == 422
    assert api.bot.restarts == 0


async def test_an_unknown_unit_is_not_found(api: Api) -> None:
    """Nothing acts on what is not registered."""
    assert (await api.post("/processes/else/restart", {}))[0] == 404


async def test_people_stop_and_start(api: Api) -> None:
    """A stop is answered when the process is gone, and a start brings it back."""
    _, stopped = await api.post("/processes/bot/stop")
    assert (stopped["state"], stopped["pid"]) == ("stopped", None)
    _, started = await api.post("/processes/bot/start")
    assert started["state"] == "starting"
    await until(lambda: api.bot.state is State.READY)


async def test_nothing_is_started_while_the_stack_stops(api: Api) -> None:
    """After a drain, neither an operator nor the reconciler gets a process back."""
    assert (await api.post("/shutdown"))[0] == 202
    assert api.supervisor.asked_to_stop.is_set()
    await api.supervisor.drain()
    assert (await api.restart("a", 1))[0] == 503
    assert (await api.post("/processes/bot/start"))[0] == 503
    assert api.bot.state is State.STOPPED


async def test_a_weight_is_changed_and_restored(api: Api) -> None:
    """As the reconciler asks for it; what the lab does not have is a failure with a reason."""
    body = {"attempt_id": "a", "fence": 1, "resource": "cpu_weight", "value": 20, "seconds": 60}
    status, answer = await api.post("/processes/bot/scale", body)
    assert (status, answer["outcome"]) == (200, "succeeded"), answer
    pid = api.bot.pid
    assert pid is not None
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert nice_of(pid) == usual + 7
    await api.post("/processes/bot/scale", body | {"attempt_id": "b", "seconds": 0})
    assert nice_of(pid) == usual
    _, memory = await api.post(
        "/processes/bot/scale", body | {"attempt_id": "c", "resource": "memory_max"}
    )
    assert memory["outcome"] == "failed"
    assert "memory_max" in memory["detail"]

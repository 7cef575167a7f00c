"""Each fault breaks what it says, nothing else, and only while it lasts."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.service.venue.harness import FaultCaller, Files, until
from trading_ops_lab.paper.venue.venue import Venue

pytestmark = pytest.mark.processes

TIME = "/0/public/Time"


async def status(http: aiohttp.ClientSession, files: Files) -> int:
    async with http.get(files.url + TIME) as answer:
        await answer.read()
        return answer.status


def fresh_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def test_disconnect_kills_the_sessions_until_now(
    client: Any, files: Files, http: aiohttp.ClientSession, faults: FaultCaller
) -> None:
    """Every request with an old cookie fails, a new session works, a cleared fault forgives."""
    import ccxt  # noqa: PLC0415

    fault = await faults.inject("disconnect")
    for _ in range(2):
        with pytest.raises(ccxt.ExchangeNotAvailable, match="520"):
            await client.fetch_balance()
    assert await status(http, files) == 520
    async with fresh_session() as session:
        assert [await status(session, files) for _ in range(3)] == [200] * 3
    await faults.clear(fault)
    assert (await client.fetch_balance())["USD"]["total"] == 100_000
    entries = await faults.journal("session_opened", "session_killed", "session_joined")
    assert [(e["event"], e["session"]) for e in entries] == [
        ("session_opened", "s1"),
        ("session_killed", "s1"),
        ("session_opened", "s2"),
        ("session_joined", "s1"),
    ]
    assert entries[-1]["account"] == "alpha"


async def test_a_client_without_cookies_opens_no_session(
    client: Any, files: Files, faults: FaultCaller
) -> None:
    """Probes that keep no cookie are no witness that anyone reconnected."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as probe:
        assert [await status(probe, files) for _ in range(3)] == [200] * 3
    for _ in range(2):
        await client.fetch_balance()
    entries = await faults.journal("session_opened", "session_joined")
    assert [(e["event"], e["session"]) for e in entries] == [
        ("session_opened", "s1"),
        ("session_joined", "s1"),
    ]


async def test_a_dead_session_gets_no_new_cookie(
    venue: Venue, files: Files, http: aiohttp.ClientSession, faults: FaultCaller
) -> None:
    """The answer to a dead cookie does not recover the client, unlike that to a forged one."""
    async with http.get(files.url + TIME) as answer:
        dead = answer.cookies["__cf_bm"].value
    await faults.inject("disconnect")
    async with aiohttp.ClientSession() as session:
        for cookie, expected in ((dead, 520), (f"1-{'0' * 64}", 200), ("", 200)):
            headers = {"Cookie": f"__cf_bm={cookie}"}
            async with session.get(files.url + TIME, headers=headers) as answer:
                assert answer.status == expected
                assert ("__cf_bm" in answer.cookies) == (expected == 200)


async def test_refuse_closes_the_port_and_drops_what_is_open(
    venue: Venue, files: Files, http: aiohttp.ClientSession, faults: FaultCaller
) -> None:
    """REST and feed are refused by the system itself, until the port is opened again."""
    async with http.ws_connect(files.url + "/v2") as socket:
        assert (await socket.receive()).type is aiohttp.WSMsgType.TEXT
        fault = await faults.inject("refuse")
        async with asyncio.timeout(120):
            while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    with pytest.raises(aiohttp.ClientConnectorError):
        await status(http, files)
    await faults.clear(fault)
    assert await status(http, files) == 200


async def test_hang_never_answers(
    venue: Venue, files: Files, http: aiohttp.ClientSession, faults: FaultCaller
) -> None:
    """A request waits, and is dropped unanswered and undone when the fault ends."""
    fault = await faults.inject("hang")
    path, body, headers = files.signed("CancelAllOrdersAfter", 1, {"timeout": 60})
    asked = asyncio.create_task(http.post(files.url + path, data=body, headers=headers))
    done, _ = await asyncio.wait([asked], timeout=0.5)
    assert not done
    await faults.clear(fault)
    with pytest.raises(aiohttp.ClientConnectionError):
        await asked
    assert venue.engine.switches.deadlines == {}
    assert await status(http, files) == 200


async def test_a_client_that_leaves_takes_its_hanging_request_with_it(
    venue: Venue, files: Files, faults: FaultCaller
) -> None:
    """Clients with a timeout do not pile up in the venue."""
    await faults.inject("hang")
    async with fresh_session() as session:
        with pytest.raises(asyncio.TimeoutError):
            await session.get(files.url + TIME, timeout=aiohttp.ClientTimeout(total=0.1))

    async def no_request_waits() -> bool:
        return not venue.edge.hanging

    await until(no_request_waits)


async def test_the_venue_stops_while_requests_hang(files: Files, faults: FaultCaller) -> None:
    """A hanging request does not keep the venue from stopping at once."""
    from trading_ops_lab.paper.venue.config import load_config  # noqa: PLC0415

    venue = Venue(load_config(files.config))
    await venue.start()
    await faults.inject("hang")
    async with fresh_session() as session:
        asked = asyncio.create_task(session.get(files.url + TIME))

        async def hangs() -> bool:
            return venue.edge.hanging == 1

        await until(hangs)
        async with asyncio.timeout(60):
            await venue.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await asked


@pytest.mark.parametrize(
    ("fault", "code", "error"),
    [
        ({"kind": "http_5xx"}, 503, "ExchangeNotAvailable"),
        ({"kind": "http_5xx", "code": 502}, 502, "ExchangeNotAvailable"),
        ({"kind": "http_5xx", "code": 504}, 504, "RequestTimeout"),
        ({"kind": "http_429"}, 429, "DDoSProtection"),
    ],
)
async def test_an_error_status_answers_everything(
    client: Any,
    files: Files,
    http: aiohttp.ClientSession,
    faults: FaultCaller,
    *,
    fault: dict[str, Any],
    code: int,
    error: str,
) -> None:
    """ccxt sees the error that the real exchange's status would be to it."""
    import ccxt  # noqa: PLC0415

    fault_id = await faults.inject(**fault)
    assert await status(http, files) == code
    with pytest.raises(getattr(ccxt, error)):
        await client.fetch_balance()
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await http.ws_connect(files.url + "/v2")
    await faults.clear(fault_id)
    assert await status(http, files) == 200


async def test_slow_delays_every_answer(
    venue: Venue, files: Files, http: aiohttp.ClientSession, faults: FaultCaller
) -> None:
    """Answers come right, but late."""
    loop = asyncio.get_running_loop()
    await faults.inject("slow", delay_seconds=0.3)
    began = loop.time()
    assert await status(http, files) == 200
    assert loop.time() - began >= 0.3


async def test_a_fault_ends_after_its_seconds(
    venue: Venue, files: Files, http: aiohttp.ClientSession, faults: FaultCaller
) -> None:
    """A fault with a time is gone after it, and the journal says why."""
    fault = await faults.inject("refuse", seconds=0.3)
    _, body = await faults.call("GET", "/faults")
    assert [f["id"] for f in body["faults"]] == [fault]

    async def over() -> bool:
        return not (await faults.call("GET", "/faults"))[1]["faults"]

    await until(over)
    assert await status(http, files) == 200
    entries = await faults.journal("fault_injected", "fault_cleared")
    assert [(e["event"], e["id"], e["kind"]) for e in entries] == [
        ("fault_injected", fault, "refuse"),
        ("fault_cleared", fault, "refuse"),
    ]
    assert entries[1]["reason"] == "expired"
    assert entries[1]["time"] - entries[0]["time"] >= 0.3


async def test_all_faults_are_cleared_at_once(
    venue: Venue, files: Files, http: aiohttp.ClientSession, faults: FaultCaller
) -> None:
    """DELETE /faults leaves nothing broken."""
    ids = [await faults.inject(kind) for kind in ("http_5xx", "refuse", "disconnect")]
    _, body = await faults.call("DELETE", "/faults")
    assert body["cleared"] == ids
    assert await status(http, files) == 200


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"kind": "earthquake"}, "Invalid enum value 'earthquake'"),
        ({"seconds": 1}, "missing required field `kind`"),
        ({"kind": "hang", "for": 1}, "unknown field `for`"),
        ({"kind": "hang", "seconds": 0}, "`float` > 0"),
        ({"kind": "http_5xx", "code": 200}, "`int` >= 500"),
    ],
)
async def test_a_wrong_fault_is_refused(
    venue: Venue, faults: FaultCaller, body: dict[str, Any], problem: str
) -> None:
    """The answer says what is wrong, and nothing breaks."""
    code, answer = await faults.call("POST", "/faults", json=body)
    assert code == 422
    assert problem in answer["error"]
    assert (await faults.call("GET", "/faults"))[1]["faults"] == []


async def test_the_fault_port_wants_its_token(
    venue: Venue, files: Files, faults: FaultCaller
) -> None:
    """Only readiness is public."""
    stranger = FaultCaller(faults.session, files.faults, token="guess")
    for method, path in (("GET", "/faults"), ("POST", "/faults"), ("GET", "/journal")):
        assert (await stranger.call(method, path))[0] == 401
    assert (await stranger.call("GET", "/ready"))[0] == 200
    assert (await faults.call("DELETE", "/faults/unknown"))[0] == 404
    assert (await faults.call("GET", "/journal?after=never"))[0] == 422


async def test_a_token_that_is_no_text_is_refused(venue: Venue, files: Files) -> None:
    """Bytes that are no UTF-8 are a wrong token like any other, not an error of ours."""
    host, _, port = files.faults.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /faults HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
    line = await asyncio.wait_for(reader.readline(), 5)
    assert line.split()[1] == b"401"
    writer.close()
    await writer.wait_closed()


async def test_the_journal_goes_on_where_the_reader_stopped(
    venue: Venue, faults: FaultCaller
) -> None:
    """Entries are numbered without gaps, and `after` leaves out what was read."""
    await faults.inject("slow")
    entries = await faults.journal()
    assert [e["seq"] for e in entries] == list(range(1, len(entries) + 1))
    _, rest = await faults.call("GET", f"/journal?after={entries[-2]['seq']}")
    assert rest == {"entries": entries[-1:], "last": entries[-1]["seq"]}
    _, since = await faults.call("GET", f"/journal?since={entries[-1]['time']}")
    assert since == rest
    _, later = await faults.call("GET", f"/journal?since={entries[-1]['time'] + 1}")
    assert later["entries"] == []

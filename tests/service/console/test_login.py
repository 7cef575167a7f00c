"""Who gets in, who does not, and what a browser is made to do for another site: nothing."""

import re
from pathlib import Path

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from tests.service.api.conftest import EXPIRED, TOKENS, everybody
from tests.service.console.conftest import Serving, csrf_in
from tests.waiting import eventually
from trading_ops.api.auth import FILE, Role, save
from trading_ops.config.settings import Settings
from trading_ops.console.border import FAILURES, HEADERS, is_own_host
from trading_ops.console.sessions import SESSIONS_A_TOKEN, Sessions

PAGES = (
    "/console/fleet",
    "/console/bots/alpha",
    "/console/incidents",
    "/console/alerts",
    "/console/maintenance",
    "/console/events",
    "/console/messages",
    "/console/backups",
    "/console/bot-events",
    "/console/reports",
    "/console/jobs",
    "/console/jobs/audit_verify",
    "/console/capacity",
    "/console/readiness",
    "/console/api",
    "/console/runbooks/BotSick",
    "/console/do/halt?subject=alpha",
    "/console/do/run?target=alpha",
    "/console/do/maintenance",
)
HALT = {"subject": "alpha", "typed": "alpha", "reason": "odd fills"}


async def test_a_token_opens_a_session(serving: Serving) -> None:
    """In a cookie that no script reads and no other site sends; over TLS it stays there."""
    async with serving() as console:
        for scheme in ("http", "https"):
            browser = await console.stranger()
            browser.headers = {"X-Forwarded-Proto": scheme}
            csrf = csrf_in((await browser.get("/console/login"))[1])
            # A client keeps no cookie of TLS for a server without: this one sends it all the same.
            browser.headers |= {"Cookie": f"trading_ops_login={csrf}"}
            fields = {"csrf": csrf, "token": TOKENS[Role.VIEWER]}
            async with browser.client.post(
                "/console/login", data=fields, headers=browser.headers, allow_redirects=False
            ) as response:
                assert (response.status, response.headers["Location"]) == (303, "/console/fleet")
                cookie = next(
                    cookie
                    for cookie in response.headers.getall("Set-Cookie")
                    if cookie.startswith("trading_ops_session=")
                )
            assert {"HttpOnly", "SameSite=Strict", "Path=/console"} <= set(cookie.split("; "))
            assert ("Secure" in cookie) == (scheme == "https")
            assert TOKENS[Role.VIEWER] not in cookie


async def test_without_a_session_nothing_is_shown(serving: Serving) -> None:
    """Every page leads to the login, and from there back; a refresh is refused."""
    async with serving() as console:
        browser = await console.stranger()
        for path in PAGES:
            async with browser.client.get(path, allow_redirects=False) as response:
                assert response.status == 303
                assert response.headers["Location"].startswith("/console/login?next=%2Fconsole")
        assert (await browser.get("/console/fleet", **{"X-Console-Refresh": "idle"}))[0] == 401
        status, where = await browser.log_in(TOKENS[Role.ADMIN], next="https://evil.example/")
        assert (status, where) == (303, "/console/fleet")
        assert (await browser.get("/console/fleet"))[0] == 200


async def test_wrong_tokens_are_refused_counted_and_limited(serving: Serving) -> None:
    """As the API counts them; a valid token still logs in: operators share a proxy's address."""
    async with serving() as console:
        browser = await console.stranger()
        for token in ("tops_wrong", EXPIRED, "", TOKENS[Role.INTAKE], TOKENS[Role.METRICS]):
            status, page = await browser.log_in(token)
            assert (status, "not valid" in page) == (401, True)
        for _ in range(FAILURES - 5):
            assert (await browser.log_in("tops_wrong"))[0] == 401
        name = "trading_ops_auth_refused_total"
        found = {
            reason: await console.running.metric(f'{name}{{reason="{reason}"}}')
            for reason in ("unknown_token", "role")
        }
        assert found == {"unknown_token": FAILURES - 2, "role": 2}
        status, page = await browser.log_in("tops_wrong")
        assert (status, "Too many" in page) == (429, True)
        assert (await browser.log_in(TOKENS[Role.ADMIN]))[0] == 303


async def test_logging_out_ends_the_session_everywhere(serving: Serving) -> None:
    """The cookie is worth nothing afterwards."""
    async with serving() as console:
        browser, thief = await console.browser(), await console.stranger()
        cookies = browser.client.session.cookie_jar.filter_cookies(
            browser.client.make_url("/console/fleet")
        )
        thief.headers = {"Cookie": f"trading_ops_session={cookies['trading_ops_session'].value}"}
        assert (await thief.get("/console/fleet"))[0] == 200
        csrf = csrf_in((await browser.get("/console/fleet"))[1])
        assert (await browser.post("/console/logout"))[0] == 403
        assert await browser.post("/console/logout", csrf=csrf) == (303, "/console/login")
        assert (await browser.get("/console/fleet"))[0] == 303
        assert (await thief.get("/console/fleet"))[0] == 303


async def test_a_revoked_token_ends_its_sessions(serving: Serving, with_tokens: Settings) -> None:
    """Within the time in which the token file is looked at."""
    async with serving() as console:
        browser = await console.browser(Role.OPERATOR)
        assert (await browser.get("/console/fleet"))[0] == 200
        left = [token for token in everybody() if token.identity.role is not Role.OPERATOR]
        save(with_tokens.secrets / FILE, left)

        async def is_out() -> bool:
            return (await browser.get("/console/fleet"))[0] == 303

        await eventually(is_out)


async def test_a_session_outlives_the_reconciler(serving: Serving) -> None:
    """A restart in the middle of an incident logs no one out."""
    async with serving() as console:
        browser = await console.browser()
        cookies = browser.client.session.cookie_jar.filter_cookies(
            browser.client.make_url("/console/fleet")
        )
        kept = f"trading_ops_session={cookies['trading_ops_session'].value}"
    async with serving() as console:
        browser = await console.stranger()
        browser.headers = {"Cookie": kept}
        assert (await browser.get("/console/fleet"))[0] == 200


async def test_sessions_end_when_idle_and_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "sessions.json"
    idle = Sessions(path, idle_seconds=0)
    assert idle.find(idle.begin("digest", None)) is None

    sessions = Sessions(path, idle_seconds=60)
    cookies = [sessions.begin("digest", None) for _ in range(SESSIONS_A_TOKEN + 5)]
    other = sessions.begin("other", "ada")
    assert sum(sessions.find(cookie) is not None for cookie in cookies) == SESSIONS_A_TOKEN
    await sessions.save()
    assert path.stat().st_mode & 0o777 == 0o600
    assert not any(cookie in path.read_text() for cookie in (*cookies, other))
    again = Sessions(path, idle_seconds=60).find(other)
    assert again is not None
    assert (again.digest, again.owner) == ("other", "ada")
    path.write_text("{broken")
    assert Sessions(path, idle_seconds=60).find(other) is None


async def test_a_forged_order_is_refused(serving: Serving) -> None:
    """Without this session's token, or sent by another site: nothing is done, and it is counted."""
    async with serving() as console:
        browser = await console.browser()
        csrf = csrf_in((await browser.get("/console/fleet"))[1])
        for over, headers in (
            ({}, {}),
            ({"csrf": "x"}, {}),
            ({"csrf": csrf}, {"Origin": "https://evil.example"}),
            ({"csrf": csrf}, {"Origin": "null"}),
            ({"csrf": csrf}, {"Sec-Fetch-Site": "cross-site"}),
        ):
            browser.headers = headers
            assert (await browser.post("/console/do/halt", **HALT, **over))[0] == 403
        assert console.running.world.commands == []
        name = 'trading_ops_auth_refused_total{reason="forged"}'
        assert await console.running.metric(name) == 5
        browser.headers = {}
        assert (await browser.post("/console/do/halt", **HALT, csrf=csrf))[0] == 303
        assert console.running.world.commands == ["halt"]


async def test_another_name_is_refused(serving: Serving) -> None:
    """A site that points its own name at this address reads nothing and orders nothing."""
    async with serving(console_hosts="ops.example, other.example") as console:
        browser = await console.browser()
        for host, wanted in (
            ("evil.example", 421),
            ("evil.example:8431", 421),
            ("127.0.0.1.evil.example", 421),
            ("localhost.evil.example", 421),
            ("", 421),
            ("localhost:9000", 200),
            ("[::1]:8431", 200),
            ("OPS.example", 200),
        ):
            assert (await browser.get("/console/login", Host=host))[0] == wanted, host
            assert is_own_host(host, {"ops.example"}) == (wanted == 200)


async def test_every_answer_forbids_what_is_not_ours(serving: Serving) -> None:
    """Pages, forms, files, errors; and no page needs a script or a style inside of it."""
    async with serving() as console:
        browser = await console.browser()
        policy = HEADERS["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        others = (
            "/console/login",
            "/console/static/console.js",
            "/console/static/../site.py",
            "/console/static/nothing",
            "/console/live",
            "/console/bots/nothing",
            "/console",
        )
        for path in (*PAGES, *others):
            async with browser.client.get(path, allow_redirects=False) as response:
                if path != "/console/static/../site.py":
                    assert response.headers["Content-Security-Policy"] == policy, path
                    assert response.headers["X-Content-Type-Options"] == "nosniff"
                if path in PAGES:
                    page = await response.text()
                    assert response.status == 200, path
                    assert response.headers["Cache-Control"] == "no-store"
                    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", page)
                    assert "http://" not in page.replace("http://www.w3.org", "")


async def test_pages_tick_for_who_is_logged_in(serving: Serving) -> None:
    """And no longer once they are not; never for another site."""
    async with serving() as console:
        stranger, browser = await console.stranger(), await console.browser()
        with pytest.raises(WSServerHandshakeError, match="401"):
            await stranger.client.ws_connect("/console/live")
        with pytest.raises(WSServerHandshakeError, match="401"):
            await browser.client.ws_connect("/console/live", origin="https://evil.example")
        async with browser.client.ws_connect("/console/live") as socket:
            first, second = await socket.receive_json(), await socket.receive_json()
            assert second["at"] > first["at"]
            while (tick := await socket.receive_json())["bots"] is None:
                pass  # the database was slower than a tick
            assert isinstance(tick["head"], int)
            assert tick["bots"] == 0
            csrf = csrf_in((await browser.get("/console/fleet"))[1])
            await browser.post("/console/logout", csrf=csrf)
            while (message := await socket.receive()).type is WSMsgType.TEXT:
                pass
            assert (message.type, socket.close_code) == (WSMsgType.CLOSE, 1008)


async def test_a_form_that_is_too_large_is_not_read(serving: Serving) -> None:
    async with serving() as console:
        browser = await console.stranger()
        assert (await browser.post("/console/login", token="x" * 100_000))[0] == 413

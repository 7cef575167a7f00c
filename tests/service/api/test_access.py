"""Every route, every role, every way to write the path: nothing is reachable without its role."""

import asyncio
import math
from collections.abc import Iterator
from hashlib import sha256

import pytest
from aiohttp.test_utils import make_mocked_request
from structlog.testing import capture_logs

from tests.service.api.conftest import EXPIRED, REVOKED, TOKENS, ask, everybody
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops.api.auth import (
    FILE,
    LOOK_SECONDS,
    REFUSALS,
    TOKEN_ROLES,
    Authenticator,
    Identity,
    Role,
    save,
)
from trading_ops.api.route import Route
from trading_ops.api.routes import described
from trading_ops.config.settings import Settings

TABLE = described()
WITHOUT_ROLE: dict[str, str | None] = {
    "none": None,
    "empty": "",
    "wrong": "tops_wrong",
    "the stored hash": sha256(TOKENS[Role.ADMIN].encode()).hexdigest(),
    "expired": EXPIRED,
    "revoked": REVOKED,
    "cut": TOKENS[Role.ADMIN][:-1],
    "longer": TOKENS[Role.ADMIN] + "n",
    "upper case": TOKENS[Role.ADMIN].upper(),
}
METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
)
OVERRIDES = ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method")
"""Headers by which some frameworks let one request stand for another."""


def concrete(route: Route) -> str:
    """Return the route's path with a value in each variable part: one that names nothing."""
    path = route.path
    for name in route.in_path:
        path = path.replace(f"{{{name}}}", "nothing")
    return path


def variants(path: str) -> Iterator[str]:
    """Return other spellings of a path, which must not slip past the check."""
    head, _, tail = path.rpartition("/")
    yield from (
        f"{path}/",
        f"/{path}",
        f"{path}//",
        f"{head}//{tail}",
        f"{path}/.",
        f"{head}/./{tail}",
    )
    yield from (f"{path}/..", f"{path}/../{tail}", f"{head}/x/../{tail}", f"{head}/%2e%2e/{tail}")
    yield from (f"{head}%2F{tail}", f"{head}%2f{tail}", f"{head}%5C{tail}", f"{head}\\{tail}")
    yield from (
        path.upper(),
        path.title(),
        f"{head}/{tail.swapcase()}",
        f"{head}/%{ord(tail[0]):x}{tail[1:]}",
    )
    yield from (
        f"{path};a=b",
        f"{path}%00",
        f"{path}%20",
        f"{path}.json",
        f"{path}?",
        f"{path}%3F",
        f"{path}#x",
    )


async def status_of(
    running: Running, method: str, path: str, token: str | None, **headers: str
) -> int:
    """Return only the status; what is sent is exactly what is written here."""
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += ["Content-Length: 2", "", "{}"]
    url = running.client.make_url("/")
    assert url.host is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write("\r\n".join(lines).encode())
    line = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


def opens(role: Role, route: Route) -> bool:
    """What should be so, written down a second time and in another way than in the code."""
    if route.role is Role.ANYONE or role is Role.ADMIN:
        return True
    if role is Role.INTAKE:
        return "/webhook/" in route.path
    if role is Role.METRICS:
        return route.path in {"/metrics", "/metrics/vital", "/api/v1/discovery/{name}"}
    if route.method == "GET":
        return True
    return role is Role.OPERATOR and route.role is Role.OPERATOR


def test_every_change_needs_at_least_an_operator() -> None:
    """Of every route that is no GET; and everything but health and this document needs a token."""
    for route in TABLE:
        if route.method != "GET":
            assert route.role in {Role.OPERATOR, Role.ADMIN, Role.INTAKE}, route.path
        if route.role is Role.ANYONE:
            assert route.path in {"/-/healthy", "/-/ready", "/api/v1/openapi.json"}


def test_no_route_is_there_twice() -> None:
    """A second one would never be reached, or with another role."""
    pairs = [(route.method, route.path) for route in TABLE]
    assert len(pairs) == len(set(pairs))


async def test_every_route_wants_its_role(start: Start, with_tokens: Settings) -> None:
    """401 for no one, 403 for too low a role, and something else for anyone who may."""
    async with start() as running:
        save(with_tokens.secrets / FILE, everybody())

        async def revoked() -> bool:
            return await status_of(running, "GET", "/api/v1/status", REVOKED) == 401

        await eventually(revoked, within=5.0)
        for route in TABLE:
            path = concrete(route)
            for who, token in WITHOUT_ROLE.items():
                status = await status_of(running, route.method, path, token)
                anyone = route.role is Role.ANYONE
                assert (status != 401) if anyone else (status == 401), (route.path, who)
            for role in TOKEN_ROLES:
                status = await status_of(running, route.method, path, TOKENS[role])
                allowed = status not in {401, 403, 405}
                assert allowed == opens(role, route), (route.method, route.path, role, status)
                assert allowed or status == 403
                assert status < 500 or route.path == "/-/ready", (route.method, route.path, status)


async def test_no_other_spelling_of_a_path_opens_anything(
    start: Start, with_tokens: Settings
) -> None:
    """Slashes, dots, case and escapes: what no route matches is 404, the rest needs a role."""
    del with_tokens
    async with start() as running:
        for route in TABLE:
            if route.role is Role.ANYONE:
                continue
            spellings = list(variants(concrete(route)))
            for token in (None, TOKENS[Role.METRICS], TOKENS[Role.INTAKE]):
                if opens(Role.METRICS, route) or opens(Role.INTAKE, route):
                    token = None  # noqa: PLW2901 - one of the two may
                for spelling in spellings:
                    status = await status_of(running, route.method, spelling, token)
                    assert status in {400, 401, 403, 404, 405}, (route.method, spelling, token)


async def test_no_other_method_opens_anything(start: Start, with_tokens: Settings) -> None:
    """What is not in the table is 405, for everyone; no header makes one method another."""
    del with_tokens
    known = {(route.method, route.path) for route in TABLE}
    async with start() as running:
        for route in TABLE:
            path = concrete(route)
            for method in METHODS:
                if (method.upper(), route.path) in known:
                    continue
                for token in (None, TOKENS[Role.ADMIN]):
                    status = await status_of(running, method, path, token)
                    # The server itself has no tunnels: CONNECT names no path of ours.
                    assert status == 405 or method == "CONNECT", (method, path, status)
                    assert status in {400, 404, 405}
            if route.role not in {Role.OPERATOR, Role.ADMIN}:
                continue
            for header in OVERRIDES:
                for method in ("GET", "POST"):
                    token = TOKENS[Role.VIEWER]
                    pretended = {header: route.method}
                    status = await status_of(running, method, path, token, **pretended)
                    allowed = (method, route.path) in known and method == "GET"
                    assert allowed or status in {403, 404, 405}, (method, path, status)


async def test_refusals_say_nothing(start: Start, with_tokens: Settings) -> None:
    """Whatever is wrong with a token, the answer is the same to the last byte."""
    save(with_tokens.secrets / FILE, everybody())
    seen = set()
    async with start() as running:
        for token in WITHOUT_ROLE.values():
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            async with running.client.get("/api/v1/incidents", headers=headers) as response:
                assert response.headers["WWW-Authenticate"] == "Bearer"
                seen.add(await response.read())
        for headers in ({"Authorization": "Basic tops_admin"}, {"Cookie": "token=tops_admin"}):
            async with running.client.get("/api/v1/incidents", headers=headers) as response:
                seen.add(await response.read())
        async with running.client.get("/api/v1/incidents?token=tops_admin") as response:
            seen.add(await response.read())
    assert seen == {b'{"error":"unauthorized","detail":""}'}


async def test_a_stranger_is_refused_before_the_body_is_read(
    start: Start, with_tokens: Settings
) -> None:
    """The answer comes though the body never does."""
    del with_tokens
    async with start() as running:
        url = running.client.make_url("/")
        assert url.host is not None
        for token in ("wrong", TOKENS[Role.VIEWER]):
            reader, writer = await asyncio.open_connection(url.host, url.port)
            head = f"POST /api/v1/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            writer.write(f"{head}Content-Length: 1000000\r\n\r\n".encode())
            answer = await asyncio.wait_for(reader.readline(), 5)
            assert answer.split()[1] in {b"401", b"403"}
            writer.close()
            await writer.wait_closed()


async def test_every_error_has_the_same_shape(start: Start, with_tokens: Settings) -> None:
    """A program needs one way to read them."""
    del with_tokens
    async with start() as running:
        for status, method, path, token in (
            (401, "GET", "/api/v1/status", None),
            (403, "POST", "/api/v1/pause", TOKENS[Role.VIEWER]),
            (404, "GET", "/nothing", None),
            (404, "GET", "/api/v1/incidents/x", "operator"),
            (405, "PUT", "/api/v1/status", "operator"),
            (422, "POST", "/api/v1/pause", "operator"),
            (422, "GET", "/api/v1/incidents?limit=0", "operator"),
        ):
            found, problem = await ask(running, method, path, token)
            assert found == status
            assert set(problem) == {"error", "detail"}
            assert isinstance(problem["error"], str)


def test_an_identity_names_the_person_too() -> None:
    """Anyone who a shared token is used by can say so, and the token's name stays."""
    local = Identity("local", Role.ADMIN)
    assert local.actor() == "local"
    assert local.actor("local") == "local"
    assert local.actor("ada") == "ada (token local)"


@pytest.mark.parametrize("role", TOKEN_ROLES)
def test_a_role_opens_no_route_that_no_one_listed(role: Role) -> None:
    """The roles' order as the issue has it: viewer < operator < admin."""
    for needed in (Role.VIEWER, Role.OPERATOR, Role.ADMIN):
        rank = [Role.VIEWER, Role.OPERATOR, Role.ADMIN]
        should = role in rank and rank.index(role) >= rank.index(needed)
        assert Identity("x", role).may(needed) == should


async def test_refused_requests_are_counted_and_logged_once_a_minute(
    start: Start, with_tokens: Settings
) -> None:
    """A guessing or stolen token is seen, and cannot fill the log."""
    del with_tokens
    async with start() as running:
        with capture_logs() as logged:
            for number in range(5):
                await ask(running, "GET", f"/api/v1/targets?n={number}", "guess")
            await ask(running, "GET", "/api/v1/targets", None)
            await ask(running, "POST", "/api/v1/halt", TOKENS[Role.VIEWER], json={"reason": "x"})
            await ask(running, "GET", "/console/login", None, headers={"Host": "evil.example"})
        counted = {
            reason: await running.metric(f'trading_ops_auth_refused_total{{reason="{reason}"}}')
            for reason in REFUSALS
        }
        lines = [line for line in logged if line["event"] == "auth_refused"]
    assert counted == {"no_token": 1, "unknown_token": 5, "role": 1, "forged": 1}
    assert {line["reason"] for line in lines} == set(REFUSALS)
    assert len(lines) < 7, "not one for each request"
    assert {line["peer"] for line in lines} == {"127.0.0.1"}
    assert "guess" not in str(lines)


async def test_requests_of_admins_are_counted(start: Start, with_tokens: Settings) -> None:
    """Routes and one-shot actions; not what another role may do, and not what is refused."""
    del with_tokens
    resume, restart = "/api/v1/targets/alpha/resume", "/api/v1/actions/restart_bot"
    action = {"target": "alpha", "params": {}, "owner": "ada", "reason": "a test"}
    async with start() as running:
        for role in (Role.OPERATOR, Role.ADMIN):
            await ask(running, "POST", resume, TOKENS[role], json={"reason": "x"})
            await ask(running, "POST", restart, TOKENS[role], json=action)
            await ask(running, "POST", "/api/v1/halt", TOKENS[role], json={"reason": "x"})
        counted = {
            operation: await running.metric(
                f'trading_ops_admin_requests_total{{operation="{operation}"}}'
            )
            for operation in ("resume", "restart_bot", "approve")
        }
        halts = await running.metric('trading_ops_admin_requests_total{operation="halt"}')
    assert counted == {"resume": 1, "restart_bot": 1, "approve": 0}
    assert math.isnan(halts), "an operator may halt"


async def test_tokens_count_again_once_the_mode_of_their_file_is_right(
    with_tokens: Settings,
) -> None:
    """A change of the mode alone is noticed: it changes neither the time nor the size."""
    path = with_tokens.secrets / FILE
    authenticator = Authenticator(with_tokens)
    header = {"Authorization": f"Bearer {TOKENS[Role.VIEWER]}"}

    def is_known() -> bool:
        request = make_mocked_request("GET", "/", headers=header)
        return authenticator.identify(request) is not None

    assert is_known()
    path.chmod(0o644)
    await eventually(lambda: not is_known(), within=10 * LOOK_SECONDS)
    path.chmod(0o600)
    await eventually(is_known, within=10 * LOOK_SECONDS)

"""`doctor` asks a Freqtrade too: whether it answers us, and whether it answers strangers."""

import contextlib
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from tests.builders import FixedSecrets, make_target
from tests.service.exporter.freqtrades import PASSWORD, USER, FakeFreqtrade
from trading_ops.clients.directory import Directory
from trading_ops.doctor.check import Check
from trading_ops.domain.target import Kind, Registry
from trading_ops_lab.doctor.loop_checks import check_connections
from trading_ops_lab.drills.lab_clients import Scene


async def first_two(fake: FakeFreqtrade, password: str) -> list[Check]:
    async with fake.serving() as address, aiohttp.ClientSession() as session:
        freq = make_target(name="freq", kind=Kind.FREQTRADE, address=address, service=None)
        registry = Registry((freq,))
        directory = Directory(session, registry, FixedSecrets(freqtrade=f"{USER}:{password}"))
        scene = SimpleNamespace(registry=registry, directory=directory, session=session)
        checks = check_connections(cast("Scene", scene))
        async with contextlib.aclosing(cast("Any", checks)):
            return [await anext(checks), await anext(checks)]


@pytest.mark.parametrize(
    ("state", "password", "ok", "detail"),
    [
        ("running", PASSWORD, True, "ok, trading is active"),
        ("stopped", PASSWORD, False, "it reports: failing"),
        ("running", "wrong", False, "HTTP 401"),
    ],
)
async def test_it_is_asked_as_our_own_bots_are(
    state: str, password: str, ok: bool, detail: str
) -> None:
    """A wrong password is found before the night on which it matters."""
    fake = FakeFreqtrade()
    fake.state = state
    answers, refuses = await first_two(fake, password)
    assert answers.name == "bot freq → its REST API"
    assert answers.ok is ok
    assert detail in answers.detail
    assert (refuses.ok, refuses.detail) == (True, "HTTP 401 without a token")


class _OpenToAll(FakeFreqtrade):
    async def _answer(self, request: web.Request) -> web.StreamResponse:
        del request
        return web.json_response({"state": "running"})


async def test_a_file_that_others_can_read_is_found() -> None:
    """Its API without a password is a door for everyone on the machine."""
    _, refuses = await first_two(_OpenToAll(), PASSWORD)
    assert (refuses.ok, refuses.detail) == (False, "without a token it answered HTTP 200")

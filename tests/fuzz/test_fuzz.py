"""A short run of `make fuzz`, and the proof that it can fail."""

import random

import pytest

from tests.fuzz import over_http, parsing
from tests.fuzz.parsing import Crash
from tests.fuzz.payloads import payload
from trading_ops.domain.alert import Alert
from trading_ops.reconciler.intake import Intake


def test_bodies_gone_wrong_are_read_or_refused() -> None:
    """Two thousand, the same each time; both sorts are among them."""
    verdicts = [parsing.check(payload(random.Random(seed))) for seed in range(2000)]
    assert 50 < sum(verdicts) < 1950


async def test_over_http_nothing_is_lost() -> None:
    """Each that is answered 200 is stored, and taken apart or in quarantine."""
    assert await over_http.run(150, seed=1) == []


def test_a_parser_that_crashes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is neither alerts nor a refusal is a finding."""

    def crashes(body: bytes) -> list[Alert]:
        raise KeyError(len(body))

    monkeypatch.setattr(parsing, "parse_notification", crashes)
    with pytest.raises(Crash, match="KeyError"):
        parsing.check(b"{}")


async def test_a_notification_that_is_dropped_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reconciler that stores only some of what it acknowledges."""
    real = Intake.store

    async def store(self: Intake, body: bytes, *arguments: object) -> None:
        if len(body) % 3:
            await real(self, body, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Intake, "store", store)
    found = await over_http.run(60, seed=1)
    assert any("are stored" in sentence for sentence in found)

"""The routes of readiness: who may do what, two persons, and a report that cannot be changed."""

from pathlib import Path

import msgspec
import pytest

from tests.service.api.conftest import TOKENS, ask
from tests.service.reconciler.conftest import Start
from trading_ops.api.auth import Role
from trading_ops.config.settings import Settings
from trading_ops.errors import ConfigError
from trading_ops.readiness.plan import DEFAULT, load_plan
from trading_ops.readiness.report import is_genuine

ADMIN, OPERATOR, VIEWER = TOKENS[Role.ADMIN], TOKENS[Role.OPERATOR], TOKENS[Role.VIEWER]
RUN = "/api/v1/readiness/alpha"
WHY = {"reason": "new strategy"}


async def test_a_run_is_begun_checked_and_aborted(start: Start, with_tokens: Settings) -> None:
    async with start() as running:
        assert (await ask(running, "GET", RUN, VIEWER))[0] == 404
        assert (await ask(running, "POST", RUN, VIEWER, json=WHY))[0] == 403
        status, begun = await ask(running, "POST", RUN, OPERATOR, json=WHY)
        assert (status, begun["phase"], begun["state"]) == (201, "validation", "running")
        assert (await ask(running, "POST", RUN, OPERATOR, json=WHY))[0] == 409
        checks = (await ask(running, "GET", f"{RUN}/checks", OPERATOR))[1]["checks"]
        assert {"doctor", "secrets", "logs"} <= {check["name"] for check in checks}
        found = [
            {"name": "doctor", "value": 0, "evidence": "exit code 0"},
            {"name": "secrets", "value": 1, "evidence": "others can open it"},
            {"name": "logs", "value": None, "evidence": "no log"},
        ]
        status, run = await ask(running, "POST", f"{RUN}/checks", OPERATOR, json={"checks": found})
        judged = {criterion["name"]: criterion["status"] for criterion in run["criteria"]}
        assert status == 200
        assert (judged["doctor"], judged["secrets"], judged["logs"]) == (
            "passed",
            "failed",
            "unknown",
        )
        made_up = [{"name": "memory", "value": 0, "evidence": ""}]
        refused = await ask(running, "POST", f"{RUN}/checks", OPERATOR, json={"checks": made_up})
        assert refused[0] == 409
        assert (await ask(running, "POST", f"{RUN}/approve", OPERATOR, json=WHY))[0] == 403
        status, reply = await ask(running, "POST", f"{RUN}/approve", ADMIN, json=WHY)
        assert status == 409
        assert "not passed" in reply["detail"]
        signed = (await ask(running, "GET", f"{RUN}/report", VIEWER))[1]
        key = with_tokens.secret("audit_key").encode()
        assert is_genuine(msgspec.json.encode(signed), [key])
        signed["report"]["run"]["ready"] = True
        assert not is_genuine(msgspec.json.encode(signed), [key])
        status, ended = await ask(running, "POST", f"{RUN}/abort", OPERATOR, json=WHY)
        assert (status, ended["state"]) == (200, "aborted")
        assert (await ask(running, "POST", RUN, OPERATOR, json=WHY))[0] == 201


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('limit: "<= 3"', "limit: at most 3", "positions"),
        ("check: secret_modes", "check: secrets", "secrets"),
        ("on_breach: reduce", "on_breach: nothing", "phases[2].on_breach"),
        ("every: 4h", "every: often", "sign_off.every"),
        ("verified: [halt_trading]}", "verified: [halt]}", "halt-tested"),
        ("- {name: 72h, hours: 72}", "- {name: 24h, hours: 72}", "24h"),
        ("version: 1", "version: 2", "version"),
    ],
)
def test_an_invalid_plan_names_the_key_and_the_fix(
    tmp_path: Path, old: str, new: str, key: str
) -> None:
    path, text = tmp_path / "readiness.yml", DEFAULT.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as found:
        load_plan(path)
    assert str(path) in str(found.value)
    assert key in found.value.key
    assert found.value.fix

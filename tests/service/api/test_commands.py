"""What an operator types at night, against a running reconciler, and against a dead one."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.fakes import FakeWorld
from tests.free_ports import free_port
from tests.service.holds.bots import RealAgent
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops.api.auth import FILE
from trading_ops.cli import actions
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import run
from trading_ops.config.last_good import keep_last_good
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings

Type = Callable[..., Awaitable[tuple[int, str]]]

TARGETS = """\
version: 1
targets:
  - {{name: paper, kind: venue, address: "127.0.0.1:{venue}"}}
  - {{name: alpha, kind: bot, address: "{agent}", venue: paper}}
  - {{name: reconciler, kind: reconciler, address: "127.0.0.1:{reconciler}"}}
  - {{name: supervisor, kind: supervisor, address: "127.0.0.1:{supervisor}"}}
  - {{name: prometheus, kind: prometheus, address: "127.0.0.1:{prometheus}"}}
  - {{name: alertmanager, kind: alertmanager, address: "127.0.0.1:{alertmanager}"}}
  - {{name: oncall-mailbox, kind: mail, address: "127.0.0.1:{mail}"}}
"""


@pytest.fixture
def type_(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Type:
    """Return a way to run a command in the settings' folder; gives its exit code and output."""
    monkeypatch.setenv("TRADING_OPS_ROOT", str(settings.root))

    async def type_it(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(run, list(arguments))
        return code, capsys.readouterr().out

    return type_it


def write_targets(settings: Settings, world: FakeWorld, port: int) -> None:
    """Write the registry by which the commands find the reconciler."""
    names = ("venue", "supervisor", "prometheus", "alertmanager", "mail")
    ports = {name: free_port() for name in names}
    text = TARGETS.format(agent=world.address, reconciler=port, **ports)
    (settings.root / "targets.yml").write_text(text)


def found_by_commands(settings: Settings, running: Running) -> None:
    """Let the commands find this reconciler."""
    port = running.client.make_url("/").port
    assert port is not None
    write_targets(settings, running.world, port)


def from_json(text: str) -> Any:
    """Return what a command printed as JSON; lines of the reconciler's log may lie around it."""
    lines = [line for line in text.splitlines() if not line.startswith("20")]
    return json.loads("\n".join(lines))


async def test_a_bot_is_halted_reduced_and_resumed(
    start: Start, settings: Settings, type_: Type, world: FakeWorld
) -> None:
    """Each with one line; and as JSON."""
    async with start() as running:
        found_by_commands(settings, running)
        code, output = await type_("halt", "alpha", "--reason", "odd fills", "--owner", "ada")
        assert code == ExitCode.OK
        assert "alpha is halted" in output
        line = next(line for line in output.splitlines() if "alpha is halted" in line)
        assert line.count("hold ") == 1
        code, output = await type_("reduce-only", "alpha", "--reason", "x", "--output", "json")
        (reduced,) = from_json(output)
        assert reduced["state"] == "reducing"
        code, output = await type_("resume", "alpha", "--reason", "x", "--hold", reduced["id"])
        assert code == ExitCode.OK
        assert "alpha is still halted: odd fills (by ada (token local)" in output
        code, output = await type_("halt", "--all", "--reason", "x")
        assert (code, world.commands.count("halt")) == (ExitCode.OK, 2)
        assert (await type_("halt", "--reason", "x"))[0] == ExitCode.USAGE
        assert (await type_("halt", "nobody", "--reason", "x"))[0] == ExitCode.FAILED


async def test_a_team_is_halted_and_resumed(
    start: Start, settings: Settings, type_: Type, world: FakeWorld
) -> None:
    """`--team` and `--host` are in place of a bot, also without a reconciler."""
    async with start(labels={"team": "fx"}) as running:
        found_by_commands(settings, running)
        code, output = await type_("halt", "--team", "fx", "--reason", "x")
        assert (code, "alpha is halted" in output) == (ExitCode.OK, True)
        code, output = await type_("resume", "--team", "fx", "--reason", "x")
        assert (code, "alpha: " in output) == (ExitCode.OK, True)
        assert (await type_("incidents", "--team", "fx"))[0] == ExitCode.OK
        for command in ("halt", "resume"):
            code, _ = await type_(command, "--team", "crypto", "--reason", "x")
            assert code == ExitCode.FAILED
        assert (await type_("halt", "alpha", "--team", "fx", "--reason", "x"))[0] == ExitCode.USAGE
        for command in ("halt", "resume"):  # --team "$TEAM" without the variable
            assert (await type_(command, "--team", "", "--reason", "x"))[0] == ExitCode.USAGE
    assert world.commands == ["halt", "resume"]
    write_targets(settings, world, free_port())
    targets = settings.root / "targets.yml"
    labelled = targets.read_text().replace("venue: paper}", "venue: paper, labels: {team: fx}}")
    targets.write_text(labelled)
    code, output = await type_("halt", "--team", "fx", "--reason", "x")
    assert (code, "alpha is halted" in output) == (ExitCode.OK, True)
    code, _ = await type_("incidents", "--team", "crypto")
    assert code == ExitCode.FAILED


async def test_a_halt_needs_no_reconciler(
    settings: Settings, type_: Type, world: FakeWorld
) -> None:
    """Nothing answers at its address: the bot gets the command, with one hold per command."""
    write_targets(settings, world, free_port())
    code, output = await type_("halt", "alpha", "--reason", "odd fills")
    assert code == ExitCode.OK
    assert "alpha is halted" in output
    assert world.commands == ["halt"]
    code, _ = await type_("reduce-only", "alpha", "--reason", "x")
    assert world.commands == ["halt", "reduce"]
    assert (await type_("halt", "--all", "--reason", "x"))[0] == ExitCode.OK
    with (settings.root / "targets.yml").open("a") as targets:
        targets.write(
            f"  - {{name: mine, kind: bare_bot, venue: x, address: '127.0.0.1:{free_port()}'}}\n"
        )
    code, output = await type_("halt", "--all", "--reason", "x")
    assert code == ExitCode.FAILED
    assert "alpha is halted" in output
    assert "mine has NOT acknowledged that it is halted" in output
    assert (await type_("halt", "paper", "--reason", "x"))[0] == ExitCode.FAILED
    assert (await type_("resume", "alpha", "--reason", "x"))[0] == ExitCode.NOT_RUNNING


async def test_a_bot_that_was_not_reached_is_reported(
    settings: Settings, type_: Type, world: FakeWorld
) -> None:
    """Exit code 1: anyone who believes that it is halted must not be wrong."""
    world.address = f"127.0.0.1:{free_port()}"
    write_targets(settings, world, free_port())
    code, output = await type_("halt", "alpha", "--reason", "odd fills")
    assert code == ExitCode.FAILED
    assert "alpha has NOT acknowledged that it is halted" in output


def _targets_file(settings: Settings, _monkeypatch: pytest.MonkeyPatch) -> None:
    (settings.root / "targets.yml").write_text("targets: [}")


def _settings_key(settings: Settings, _monkeypatch: pytest.MonkeyPatch) -> None:
    (settings.root / "settings.yml").write_text("no_such_setting: 1\n")


def _settings_syntax(settings: Settings, _monkeypatch: pytest.MonkeyPatch) -> None:
    (settings.root / "settings.yml").write_text("observe_only: [\nvar: var\n")


def _variable(_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_OPS_HOST", "x")


def _operator_token(settings: Settings, _monkeypatch: pytest.MonkeyPatch) -> None:
    (settings.secrets / "operator_token").unlink()


@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize(
    "damage", [_targets_file, _settings_key, _settings_syntax, _variable, _operator_token]
)
async def test_a_halt_goes_out_although_a_file_is_broken(
    start: Start,
    settings: Settings,
    type_: Type,
    world: FakeWorld,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Settings, pytest.MonkeyPatch], None],
    *,
    alive: bool,
) -> None:
    """The last valid registry and what is valid of the settings are enough to reach the bot."""
    async with contextlib.AsyncExitStack() as stack:
        if alive:
            found_by_commands(settings, await stack.enter_async_context(start()))
        else:
            write_targets(settings, world, free_port())
        keep_last_good(load_settings(settings.root, {}))
        damage(settings, monkeypatch)
        for bots in ("alpha", "--all"):
            code, output = await type_("halt", bots, "--reason", "odd fills")
            assert code == ExitCode.OK
            assert "alpha is halted" in output
        assert world.commands == ["halt", "halt"]


async def test_without_any_registry_a_halt_says_what_is_wrong(
    settings: Settings, type_: Type
) -> None:
    """No copy was ever kept: the mistake in targets.yml is named."""
    (settings.root / "targets.yml").write_text("targets: [}")
    assert (await type_("halt", "--all", "--reason", "x"))[0] == ExitCode.SETUP


async def test_a_bot_that_the_reconciler_does_not_know_is_halted_directly(
    start: Start, settings: Settings, type_: Type, world: FakeWorld, tmp_path: Path
) -> None:
    """It is in targets.yml, which the reconciler has not read again; `--all` reaches it too."""
    folder = tmp_path / "beta"
    folder.mkdir()
    beta = RealAgent(folder)
    beta.start()
    try:
        async with start() as running:
            found_by_commands(settings, running)
            with (settings.root / "targets.yml").open("a") as targets:
                line = f"{{name: beta, kind: bot, address: '{beta.address}', venue: paper}}"
                targets.write(f"  - {line}\n")
            code, output = await type_("halt", "--all", "--reason", "x")
            assert (code, beta.state) == (ExitCode.OK, "halted")
            assert "alpha is halted" in output
            assert "beta is halted" in output
            assert len(beta.holds) == 1
            assert (await type_("halt", "beta", "--reason", "x"))[0] == ExitCode.OK
            assert len(beta.holds) == 2
            beta.stop()
            code, output = await type_("halt", "--all", "--reason", "x")
            assert code == ExitCode.FAILED
            assert "alpha is halted" in output
            assert "beta has NOT acknowledged that it is halted" in output
    finally:
        beta.stop()


async def test_a_removed_bot_is_halted_until_the_next_start(
    settings: Settings, type_: Type, world: FakeWorld
) -> None:
    """Its process may still run."""
    write_targets(settings, world, free_port())
    keep_last_good(load_settings(settings.root, {}))
    targets = settings.root / "targets.yml"
    lines = targets.read_text().splitlines(keepends=True)
    targets.write_text("".join(line for line in lines if "name: alpha" not in line))
    assert (await type_("halt", "--all", "--reason", "x"))[0] == ExitCode.OK
    assert world.commands == ["halt"]


async def test_a_rotated_agent_token_is_used_at_once(
    start: Start, settings: Settings, type_: Type, world: FakeWorld
) -> None:
    """By the reconciler too, without a restart."""
    async with start() as running:
        found_by_commands(settings, running)
        world.agent_token = "rotated"
        code, output = await type_("halt", "alpha", "--reason", "x")
        assert code == ExitCode.FAILED
        assert "alpha has NOT acknowledged that it is halted" in output
        assert (
            "alpha has not acknowledged that it is halted" in (await type_("automation", "show"))[1]
        )
        (settings.secrets / "agent_token").write_text("rotated\n")
        code, output = await type_("halt", "alpha", "--reason", "x")
        assert code == ExitCode.OK
        assert "alpha is halted" in output


async def test_a_halt_that_is_in_force_is_shown_as_such(
    start: Start, settings: Settings, type_: Type, world: FakeWorld
) -> None:
    """HALTED is only said of what the bot has acknowledged."""
    async with start() as running:
        found_by_commands(settings, running)
        await type_("halt", "alpha", "--reason", "odd fills", "--owner", "ada")
        shown = (await type_("automation", "show"))[1]
        assert "alpha is HALTED by ada" in shown
        assert "NOT IN FORCE" not in shown


async def test_an_incident_is_taken_and_given_back(
    start: Start, settings: Settings, type_: Type, world: FakeWorld
) -> None:
    """`ack`, `snooze`, `unack`, and `resolve`, which is refused while it fires."""
    world.labels["alertname"] = "PageOnly"
    async with start() as running:
        found_by_commands(settings, running)
        await running.break_it()
        incident = await eventually(running.incident)
        short = incident["id"][:8]
        assert "until it closes or is unacknowledged" in (await type_("ack", short))[1]
        assert "paged again at" in (await type_("snooze", short, "--for", "30m"))[1]
        assert "snoozed" in (await type_("events", "--incident", short))[1]
        assert "no longer acknowledged" in (await type_("unack", short))[1]
        assert (await type_("unack", short))[0] == ExitCode.FAILED
        assert (await type_("resolve", short, "--reason", "over"))[0] == ExitCode.FAILED


async def test_an_action_is_run_approved_and_denied(
    start: Start, settings: Settings, type_: Type, world: FakeWorld
) -> None:
    """What is refused says why, and how to open it."""
    async with start(two_person_approval=True) as running:
        found_by_commands(settings, running)
        code, output = await type_("run", "reconnect_broker", "alpha", "--reason", "deaf")
        assert code == ExitCode.OK
        assert "reconnect_broker on alpha is completed after" in output
        code, output = await type_("run", "restart_bot", "alpha", "--reason", "stuck")
        assert code == ExitCode.FAILED
        assert "refused (approval_missing)" in output
        key = output.rpartition(" ")[2].strip()
        code, output = await type_("approvals", "--output", "json")
        assert key in output
        assert len(key) < len("3f2a0000-0000-0000-0000-000000000000")
        assert (await type_("approve", key))[0] == ExitCode.FAILED
        assert (await type_("deny", "nothing"))[0] == ExitCode.FAILED
        code, output = await type_("deny", key)
        assert (code, "restart_bot on alpha is denied" in output) == (ExitCode.OK, True)
        assert "no requests" in (await type_("approvals"))[1]
        for params in (("x",), ("a=1", "a=2"), ("=1",)):
            line = ("run", "reconnect_broker", "alpha", *params, "--reason", "x")
            assert (await type_(*line))[0] == ExitCode.USAGE
    assert world.commands == ["reconnect_broker"]


async def test_what_becomes_of_an_order_is_reported(
    start: Start, settings: Settings, type_: Type, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end; or, when that is not near or not asked for, that it has started."""
    line = ("run", "reconnect_broker", "alpha", "--reason", "deaf")
    async with start() as running:
        found_by_commands(settings, running)
        world.command_fails = True
        code, output = await type_(*line)
        assert (code, "reconnect_broker on alpha is failed after" in output) == (
            ExitCode.FAILED,
            True,
        )
        world.command_fails = False
        line = ("run", "reduce_trading", "alpha", "--reason", "deaf")
        code, output = await type_(*line, "--no-wait")
        assert (code, "has started: attempt" in output) == (ExitCode.OK, True)
        monkeypatch.setattr(actions, "WAIT_SECONDS", 0.01)
        code, output = await type_(*line)
        assert (code, "has started: attempt" in output) == (ExitCode.FAILED, True)
        monkeypatch.undo()


async def test_what_is_no_bot_is_refused_at_once(
    start: Start, settings: Settings, type_: Type, capsys: pytest.CaptureFixture[str]
) -> None:
    """Like a halt of it: one sentence, and nothing is stored as an attempt."""
    async with start() as running:
        found_by_commands(settings, running)
        capsys.readouterr()
        line = ["run", "halt_trading", "paper", "--reason", "x"]
        assert await asyncio.to_thread(run, line) == ExitCode.FAILED
        assert "422: `target` must be a bot: paper is of kind venue" in capsys.readouterr().err
        assert (await running.call("GET", "/api/v1/attempts"))["attempts"] == []


async def test_another_token_is_another_person(
    start: Start, settings: Settings, type_: Type, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked with the command line's token, approved with one's own, named either way."""
    bob = settings.root / "bob.token"
    bob.write_text((await type_("token", "add", "bob", "--role", "operator"))[1])
    async with start(two_person_approval=True) as running:
        found_by_commands(settings, running)
        line = ("run", "restart_bot", "alpha", "--reason", "stuck")
        output = (await type_(*line))[1]
        assert "--token-file PATH" in output
        key = output.rpartition(" ")[2].strip()
        code, output = await type_("approve", key, "--owner", "Bob", "--token-file", str(bob))
        assert (code, "approved by Bob (token bob)" in output) == (ExitCode.OK, True)
        assert (await type_(*line))[0] == ExitCode.OK
        assert (await type_(*line, "--token-file", "/nowhere"))[0] == ExitCode.USAGE
        monkeypatch.setenv("TRADING_OPS_TOKEN_FILE", "bob.token")
        await type_("maintenance", "begin", "--fleet", "--for", "1m", "--reason", "x")
        found = from_json((await type_("maintenance", "list", "--output", "json"))[1])
        assert found["maintenance"][0]["owner"].endswith("(token bob)")
        monkeypatch.setenv("TRADING_OPS_TOKEN_FILE", "nobody.token")
        assert (await type_("maintenance", "list"))[0] == ExitCode.SETUP
    assert world.commands == ["restart_bot"]


async def test_maintenance_events_and_automation(
    start: Start, settings: Settings, type_: Type, capsys: pytest.CaptureFixture[str]
) -> None:
    """Start, list and end; the timeline; and automation as JSON."""

    async def failing(*arguments: str) -> str:
        capsys.readouterr()
        assert await asyncio.to_thread(run, list(arguments)) == ExitCode.FAILED
        return capsys.readouterr().err

    async with start() as running:
        found_by_commands(settings, running)
        line = ("maintenance", "begin", "alpha", "--for", "10m", "--reason", "upgrade")
        assert "window 1 on alpha until" in (await type_(*line))[1]
        assert "upgrade" in (await type_("maintenance", "list"))[1]
        assert "has ended" in (await type_("maintenance", "end", "1"))[1]
        assert (await type_("maintenance", "end", "1"))[0] == ExitCode.FAILED
        assert (await type_(*line[:2], *line[3:]))[0] == ExitCode.USAGE
        assert "no maintenance" in (await type_("maintenance", "list"))[1]
        past = from_json((await type_("maintenance", "history", "alpha", "--output", "json"))[1])
        assert [(window["id"], window["reason"]) for window in past] == [(1, "upgrade")]
        assert past[0]["ended_by"].endswith("(token local)")
        assert "upgrade" in (await type_("maintenance", "history"))[1]
        output = (await type_("events", "--kind", "maintenance_begun"))[1]
        assert "upgrade alpha by" in output
        assert "(token local)" in output
        assert "maintenance_begun" in await failing("events", "--kind", "nope")
        assert "zzzz" in await failing("events", "--incident", "zzzz")
        assert (await type_("events", "--kind", "maintenance_begun", "--target", "x"))[0] == 0
        output = (await type_("automation", "show", "--output", "json"))[1]
        assert from_json(output)["running"] is True


async def test_a_recurring_window(start: Start, settings: Settings, type_: Type) -> None:
    """Its next window is planned at once; ended, both are gone."""
    async with start() as running:
        found_by_commands(settings, running)
        line = ("maintenance", "begin", "--fleet", "--for", "1h", "--reason", "patches")
        assert (await type_(*line, "--every", "Sun 02:00", "--tz", "Europe/Berlin"))[0] == 0
        found = from_json((await type_("maintenance", "list", "--output", "json"))[1])
        (order,), (window,) = found["recurring"], found["maintenance"]
        assert (order["every"], order["zone"], order["seconds"]) == (
            "Sun 02:00",
            "Europe/Berlin",
            3600,
        )
        begins = datetime.fromisoformat(window["begins_at"]).astimezone(ZoneInfo("Europe/Berlin"))
        assert (begins.weekday(), begins.minute) == (6, 0)
        output = (await type_("maintenance", "list"))[1]
        assert "begins in" in output
        assert "Sun 02:00" in output
        assert (await type_("maintenance", "end", str(order["id"]), "--recurring"))[0] == 0
        assert "no maintenance" in (await type_("maintenance", "list"))[1]
        assert (await type_("maintenance", "end", "7", "--recurring"))[0] == ExitCode.FAILED
        assert (await type_(*line, "--every", "never"))[0] == ExitCode.FAILED
        assert (await type_(*line, "--tz", "UTC"))[0] == ExitCode.USAGE
        both = ("--every", "Sun 02:00", "--at", "2026-03-01T12:00:00Z")
        assert (await type_(*line, *both))[0] == ExitCode.USAGE


async def test_tokens_are_made_listed_and_revoked(settings: Settings, type_: Type) -> None:
    """Shown once, kept as a hash; the old of two goes when it is replaced."""
    path = settings.secrets / FILE

    def kept() -> str:
        return path.read_text()

    tokens = []
    for _ in range(2):
        code, output = await type_("token", "add", "ada", "--role", "operator", "--expires", "90d")
        assert code == ExitCode.OK
        tokens.append(output.strip())
    assert all(token.startswith("tops_") and token not in kept() for token in tokens)
    assert (await type_("token", "add", "ada", "--role", "operator"))[0] == ExitCode.SETUP
    listed: Any = json.loads((await type_("token", "list", "--output", "json"))[1])
    assert [token["name"] for token in listed] == ["ada", "ada"]
    assert (await type_("token", "revoke", "ada", "--old"))[0] == ExitCode.OK
    left: Any = json.loads((await type_("token", "list", "--output", "json"))[1])
    assert left == listed[1:]
    assert (await type_("token", "revoke", "ada", "--old"))[0] == ExitCode.SETUP
    assert (await type_("token", "add", "ada", "--role", "admin"))[0] == ExitCode.SETUP
    assert (await type_("token", "revoke", "ada"))[0] == ExitCode.OK
    assert (await type_("token", "revoke", "ada"))[0] == ExitCode.SETUP
    assert (await type_("token", "add", "local", "--role", "admin"))[0] == ExitCode.SETUP
    assert (await type_("token", "add", "x", "--role", "root"))[0] == ExitCode.USAGE
    line = ("token", "add", "bob", "--role", "viewer", "--expires", "99999999999d")
    assert (await type_(*line))[0] == ExitCode.SETUP
    assert "no tokens" in (await type_("token", "list"))[1]

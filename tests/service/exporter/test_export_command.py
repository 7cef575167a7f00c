"""`trading-ops export`, as an operator or systemd uses it."""

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.free_ports import free_port
from tests.waiting import eventually
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import run


@pytest.fixture
def address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def config(tmp_path: Path, address: str) -> Path:
    """A whole configuration with a token."""
    token = tmp_path / "metrics_token"
    token.write_text("secret\n")
    token.chmod(0o600)
    path = tmp_path / "exporter.yml"
    path.write_text(f"address: {address}\npaths: [.]\n")
    return path


def add(config: Path, text: str) -> None:
    config.write_text(config.read_text() + text)


def test_a_right_file_is_well(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reported in one line."""
    assert run(["export", "--config", str(config), "--check"]) == ExitCode.OK
    assert capsys.readouterr().out.startswith(f"{config} is valid: served on 127.0.0.1:")


def test_everything_that_is_missing_is_reported_at_once(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line each: secrets, folders and venues that are not there."""
    folder = config.parent
    (folder / "key").write_text("k")
    (folder / "key").chmod(0o644)
    (folder / "metrics_token").unlink()
    add(
        config,
        "ccxt:\n"
        "  - {name: a, exchange: nosuch}\n"
        "  - {name: b, exchange: kraken, key_file: key, secret_file: secret}\n"
        "processes: [{name: p, pid_file: nowhere/pid}]\n",
    )
    config.write_text(config.read_text().replace("[.]", "[gone]"))
    assert run(["export", "--config", str(config), "--check"]) == ExitCode.SETUP
    lines = capsys.readouterr().err.splitlines()
    for line, parts in zip(
        lines,
        (
            f"{folder}/metrics_token: metrics_token_file: No such file",
            f"{config}: paths: {folder}/gone does not exist",
            f"{config}: ccxt[a].exchange: ccxt does not support venue 'nosuch'",
            f"{folder}/key: ccxt[b].key_file: others can read it. Fix: chmod 600 {folder}/key",
            f"{folder}/secret: ccxt[b].secret_file: No such file",
            f"{config}: processes[p].pid_file: {folder}/nowhere does not exist",
        ),
        strict=True,
    ):
        assert line.startswith(f"Error: {parts}")


def test_once_prints_what_was_read(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exposition on one side, how each collector fared on the other; no token is needed."""
    (config.parent / "metrics_token").unlink()
    assert run(["export", "--config", str(config), "--once"]) == ExitCode.OK
    output = capsys.readouterr()
    names = {family.name for family in text_string_to_metric_families(output.out)}
    assert {"trading_host_load1", "trading_host_zombies", "trading_host_disk_free_bytes"} <= names
    assert [line.partition(" ")[0] for line in output.err.splitlines()] == [
        "host",
        "host_processes",
        f"disk:{config.parent}",
    ]
    assert all(line.endswith(" s): ok") for line in output.err.splitlines())


def test_once_reads_what_is_named_and_reports_failures(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only that, and the exit code says that one of them failed; the reason is there."""
    gone = f"127.0.0.1:{free_port()}"
    add(config, f"venues: [{{name: a, address: '{gone}'}}, {{name: b, address: '{gone}'}}]\n")
    assert run(["export", "--config", str(config), "--once", "venue", "host"]) == ExitCode.FAILED
    output = capsys.readouterr()
    host, first, other = output.err.splitlines()
    assert host.startswith("host (")
    assert first.startswith("venue:a (")
    assert "failed: Cannot connect" in first
    assert other.startswith("venue:b (")
    assert 'trading_venue_up{venue="a"} 0.0' in output.out
    assert "disk_free" not in output.out


def test_a_collector_that_is_not_there_is_named(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With those that are."""
    assert run(["export", "--config", str(config), "--once", "hots"]) == ExitCode.SETUP
    assert "hots: unknown collector. Fix: one of host, " in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ["--check", "--once"],
        ["--config", "a", "--targets", "b"],
        ["host"],
    ],
)
def test_what_makes_no_sense_is_refused(options: list[str]) -> None:
    """As a usage error."""
    assert run(["export", *options]) == ExitCode.USAGE


def test_without_a_file_the_way_to_one_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """exporter.yml in the working directory is the default."""
    monkeypatch.chdir(tmp_path)
    assert run(["export"]) == ExitCode.SETUP
    assert "deploy/exporter.yml is an example" in capsys.readouterr().err


def test_it_can_be_derived_from_the_registry(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Venues and processes of targets.yml; its secrets are those that `up` writes."""
    monkeypatch.setenv("TRADING_OPS_VAR", str(tmp_path))
    targets = Path(__file__).parents[3] / "targets.yml"
    assert run(["export", "--targets", str(targets), "--once", "processes"]) == ExitCode.OK
    assert 'trading_process_up{process="alpha"} 0.0' in capsys.readouterr().out


async def test_it_serves_until_sigterm(config: Path, address: str) -> None:
    """In the foreground; a second one reports in one sentence that the address is in use."""
    command = (sys.executable, "-m", "trading_ops.cli.main", "export", "--config", str(config))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    async with aiohttp.ClientSession(f"http://{address}") as session:

        async def answers() -> bool:
            try:
                async with session.get(
                    "/metrics", headers={"Authorization": "Bearer secret"}
                ) as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await eventually(answers)
    second = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert second.stderr is not None
    last_line = (await second.stderr.read()).decode().splitlines()[-1]
    assert last_line.startswith(f"Error: metrics cannot be served on {address}")
    assert "Fix: " in last_line
    assert await second.wait() == ExitCode.SETUP
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == ExitCode.OK

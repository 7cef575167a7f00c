"""`trading-ops up` as a process, with the two processes that need no tools: mail and exporter."""

import asyncio
import contextlib
import json
import re
import shutil
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.free_ports import free_port
from tests.service.stack.small_processes import REPOSITORY, alive, kill, lines, until_true
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.local_stack import holder

pytestmark = pytest.mark.slow

UNITS = {"mail", "exporter"}
SERVICE = re.compile(r"\n    service: \{manager: supervisor, unit: (\S+?)[,}].*")
PORT = re.compile(r"127\.0\.0\.1:\d+")


@dataclass(frozen=True)
class Ended:
    """The output of a command, and its exit code."""

    code: int
    out: str
    err: str


class Project:
    """A folder with a registry of its own, in which commands are run."""

    def __init__(self, folder: Path) -> None:
        self.var = folder / "var"
        self.targets = folder / "targets.yml"
        text = (REPOSITORY / "targets.yml").read_text()
        text = SERVICE.sub(lambda match: match[0] if match[1] in UNITS else "", text)
        self.targets.write_text(PORT.sub(lambda _: f"127.0.0.1:{free_port()}", text))

    async def start(self, *arguments: str, var: Path | None = None) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "env",
            f"TRADING_OPS_ROOT={REPOSITORY}",
            f"TRADING_OPS_VAR={var or self.var}",
            f"TRADING_OPS_TARGETS_FILE={self.targets}",
            sys.executable,
            "-m",
            "trading_ops.cli.main",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            umask=0o022,  # an ordinary user's
        )

    async def run(self, *arguments: str, var: Path | None = None) -> Ended:
        process = await self.start(*arguments, var=var)
        async with asyncio.timeout(120):
            out, err = await process.communicate()
        return Ended(process.returncode or 0, out.decode(), err.decode())

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Have it in the foreground, ready, while the block runs."""
        process = await self.start("up")
        assert process.stdout
        try:
            async with asyncio.timeout(120):
                while not (line := await process.stdout.readline()).startswith(b"Ready after"):
                    assert line, (await process.communicate())[1].decode()
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.communicate()

    async def pids(self) -> dict[str, int]:
        ended = await self.run("status", "--output", "json")
        return {process["unit"]: process["pid"] for process in json.loads(ended.out)["processes"]}


@pytest.fixture
async def project(tmp_path: Path) -> AsyncIterator[Project]:
    made = Project(tmp_path)
    yield made
    await made.run("down")


async def test_ctrl_c_stops_everything(project: Project) -> None:
    """In the foreground, SIGINT drains: it says so, ends with 0 and leaves nothing."""
    async with project.up() as process:
        pids = await project.pids()
        assert set(pids) == UNITS
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == ExitCode.OK
    assert b"All processes stopped." in out
    assert err == b""
    assert not any(alive(pid) for pid in pids.values())
    assert (await project.run("status")).code == ExitCode.NOT_RUNNING


async def test_detached_it_runs_on_until_down(project: Project) -> None:
    """The command returns when all is ready; status shows it; down ends it."""
    up = await project.run("up", "--detach")
    assert up.code == ExitCode.OK, up.err
    assert "mail: ready" in up.out
    status = await project.run("status", "--memory")
    assert status.code == ExitCode.OK
    for text in ("mail", "exporter", "supervisor", "ready", "MB", "exporter.log"):
        assert text in status.out
    pids = await project.pids()
    assert (await project.run("down")).out == "All processes stopped.\n"
    assert not any(alive(pid) for pid in pids.values())
    assert (await project.run("down")).out == "Nothing is running.\n"


async def test_up_and_down_for_a_machine(project: Project) -> None:
    """With --output json each prints one object and nothing else."""
    up = await project.run("up", "--detach", "--output", "json")
    assert (up.code, up.err) == (ExitCode.OK, "")
    output = json.loads(up.out)
    assert {process["unit"]: process["state"] for process in output["processes"]} == dict.fromkeys(
        UNITS, "ready"
    )
    for expected in (
        {"was_running": True, "pid": output["stack"]["pid"]},
        {"was_running": False, "pid": None},
    ):
        down = await project.run("down", "--output", "json")
        assert (down.code, json.loads(down.out)) == (ExitCode.OK, expected)


async def test_everything_written_is_for_the_owner_only(project: Project) -> None:
    """From the first file on, the background process's log included."""
    assert (await project.run("up", "--detach")).code == ExitCode.OK
    written = [path for path in (project.var, *project.var.rglob("*")) if not path.is_symlink()]
    assert project.var / "log" / "supervisor.log" in written
    assert [path for path in written if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


async def test_a_process_that_cannot_be_started_any_more(project: Project) -> None:
    """It is tried again and shown as failing; the status and the supervisor's log say why."""
    async with project.up():
        log = project.var / "log" / "exporter.log"
        log.unlink()
        log.mkdir()
        kill((await project.pids())["exporter"], signal.SIGKILL)

        async def failing() -> bool:
            return "failing" in (await project.run("status")).out

        await until_true(failing)
        status = await project.run("status")
        reason = f"the folder {log.parent} cannot be written (Is a directory)"
        assert status.code == ExitCode.FAILED
        assert "".join(reason.split()) in "".join(status.out.split())  # a table's cell is folded
        log_lines = lines(log.with_name("supervisor.log"))
        first = next(line for line in log_lines if "process_failing" in line)
        assert json.loads(first)["reason"].startswith(reason)


async def test_a_second_stack_is_refused(project: Project) -> None:
    """In the same folder it says who runs there, in the foreground and detached."""
    async with project.up() as process:
        for arguments in (("up",), ("up", "--detach")):
            ended = await project.run(*arguments)
            assert ended.code == ExitCode.FAILED
            assert f"a stack already runs in {project.var} (process {process.pid})" in ended.err
            assert "Traceback" not in ended.err


async def test_after_kill_9_of_the_supervisor_its_processes_go_on(project: Project) -> None:
    """The next one adopts them; without one, the status says so and `down` ends them."""
    async with project.up() as process:
        pids = await project.pids()
        process.kill()
        await process.wait()
    assert holder(project.var) is None
    assert all(alive(pid) for pid in pids.values())
    status = await project.run("status")
    assert status.code == ExitCode.NOT_RUNNING
    assert "exporter, mail" in status.err
    async with project.up() as process:
        assert await project.pids() == pids
        process.kill()
        await process.wait()
    assert (await project.run("down")).out == "All processes stopped.\n"
    assert not any(alive(pid) for pid in pids.values())


async def test_down_needs_no_token(project: Project) -> None:
    """It was rotated under the running supervisor: a signal stops everything."""
    async with project.up() as process:
        (project.var / "secrets" / "supervisor_token").write_text("rotated\n")
        down = await project.run("down")
        assert (down.code, down.out) == (ExitCode.OK, "All processes stopped.\n")
        assert await process.wait() == ExitCode.OK


async def test_a_copied_folder_touches_nothing_of_the_original(
    project: Project, tmp_path: Path
) -> None:
    """With the same ports it is refused; with ports of its own it runs beside the original."""
    async with project.up():
        pids = await project.pids()
        shutil.copytree(project.var, tmp_path / "copy" / "var", symlinks=True)
        ended = await project.run("up", "--detach", var=tmp_path / "copy" / "var")
        assert ended.code == ExitCode.SETUP
        assert "of target supervisor in targets.yml" in ended.err
        copy = Project(tmp_path / "copy")
        async with copy.up():
            assert await project.pids() == pids
        assert await project.pids() == pids
    assert not any(alive(pid) for pid in pids.values())


async def test_a_killed_process_comes_back(project: Project) -> None:
    """The status counts the restart."""
    async with project.up():
        before = (await project.pids())["exporter"]
        kill(before, signal.SIGKILL)

        async def came_back() -> bool:
            return "ready (restarted once)" in (await project.run("status")).out

        await until_true(came_back)
        assert (await project.pids())["exporter"] not in {before, None}


async def test_a_taken_port_is_one_sentence(project: Project) -> None:
    """The error names the port, its holder, the target and the file."""
    targets = project.targets.read_text()
    address = PORT.findall(targets.partition("name: exporter\n")[2])[0]
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        for arguments in (("up",), ("up", "--detach")):
            ended = await project.run(*arguments)
            assert ended.code == ExitCode.SETUP
            assert f"Error: {address} is taken by process" in ended.err
            assert "of target exporter in targets.yml" in ended.err
            assert ended.err.count("\n") == 1


async def test_a_folder_that_cannot_be_written_is_one_sentence(
    project: Project, tmp_path: Path
) -> None:
    """The error names the folder and the fix."""
    (tmp_path / "file").write_text("in the way")
    for arguments in (("up",), ("up", "--detach")):
        ended = await project.run(*arguments, var=tmp_path / "file" / "var")
        assert ended.code == ExitCode.SETUP
        assert "cannot be written" in ended.err
        assert ended.err.count("\n") == 1

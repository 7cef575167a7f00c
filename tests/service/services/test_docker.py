"""The service manager `docker`, on a real engine with an image that needs no registry."""

import asyncio
import contextlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.waiting import eventually
from trading_ops.errors import SetupError
from trading_ops.services.docker import Docker
from trading_ops.services.manager import ManagerUnavailable, UnitStatus

WITHIN = timedelta(seconds=120)
IMAGE = "trading-ops-test:sleeper"


def docker(*arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["docker", *arguments], input=stdin, capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def engine_answers() -> bool:
    if not shutil.which("docker"):
        return False
    with contextlib.suppress(subprocess.TimeoutExpired):
        found = subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=30)
        return found.returncode == 0
    return False


pytestmark = pytest.mark.skipif(not engine_answers(), reason="no Docker engine answers")


def image() -> bytes:
    """Return the file system of an image: a shell, `sleep`, and what they are linked with."""
    programs = [Path("/bin/sh"), Path("/bin/sleep")]
    files = set(programs)
    for program in programs:
        linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        files |= {Path(found) for found in re.findall(r"(/\S+) \(0x", linked)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for file in sorted(files):
            tar.add(file.resolve(), arcname=str(file).lstrip("/"))
    return packed.getvalue()


@pytest.fixture(scope="module", autouse=True)
def _image() -> Iterator[None]:
    docker("import", "-", IMAGE, stdin=image())
    yield
    docker("image", "rm", "--force", IMAGE)


@pytest.fixture
def name() -> Iterator[str]:
    made = f"trading-ops-test-{uuid.uuid4().hex[:8]}"
    yield made
    docker("rm", "--force", made)


@pytest.fixture
async def engine() -> AsyncIterator[Docker]:
    made = Docker(os.getenv("DOCKER_HOST"))  # noqa: TID251 - as the docker command finds it
    yield made
    await made.close()


async def started(name: str, engine: Docker, *arguments: str) -> UnitStatus:
    options = ["run", "--detach", "--network", "none", "--name", name]
    await asyncio.to_thread(docker, *options, *arguments, IMAGE, "/bin/sleep", "1000")
    return await engine.status(name)


async def test_a_restart_makes_a_new_incarnation(name: str, engine: Docker) -> None:
    """The container keeps its id and gets a new start time and process."""
    before = await started(name, engine)
    assert before.running
    assert before.reported is not None
    assert before.reported.startswith("1:")  # as the process sees itself in its container

    await engine.restart(name, WITHIN)
    after = await engine.status(name)

    assert after.running
    assert after.pid != before.pid
    assert after.incarnation != before.incarnation
    assert str(after.incarnation)[:12] == str(before.incarnation)[:12]


async def test_a_stopped_container_reports_its_exit_code(name: str, engine: Docker) -> None:
    await started(name, engine, "--stop-signal", "KILL")
    await engine.stop(name, WITHIN)
    now = await engine.status(name)
    assert not now.running
    assert now.pid is None
    assert "137" in now.detail
    await engine.start(name, WITHIN)
    assert (await engine.status(name)).running


async def test_the_last_lines_are_those_of_the_last_run(name: str, engine: Docker) -> None:
    script = "echo started $RANDOM; echo to stderr >&2; exit 1"
    options = ["--detach", "--network", "none", "--name", name, IMAGE, "/bin/sh", "-c", script]
    await asyncio.to_thread(docker, "run", *options)

    async def dead() -> UnitStatus | None:
        now = await engine.status(name)
        return None if now.running else now

    now: UnitStatus = await eventually(dead)
    lines = await engine.last_lines(name, str(now.incarnation))
    assert "to stderr" in lines
    assert any(line.startswith("started") for line in lines)
    with pytest.raises(SetupError, match="nothing-here"):
        await engine.last_lines("nothing-here", str(now.incarnation))


async def test_an_unhealthy_container_is_reported_as_such(name: str, engine: Docker) -> None:
    await started(
        name,
        engine,
        "--health-cmd",
        "exit 1",
        "--health-interval",
        "1s",
        "--health-retries",
        "1",
    )

    async def unhealthy() -> bool:
        found = await engine.status(name)
        return found.running and found.state == "unhealthy"

    await eventually(unhealthy)


async def test_an_unknown_container_is_named(engine: Docker) -> None:
    with pytest.raises(SetupError, match=r"no container nothing-here.*Fix"):
        await engine.status("nothing-here")


@contextlib.contextmanager
def filtering_proxy(folder: Path, name: str) -> Iterator[str]:
    """Run the example, for one container; yield the URL of its socket."""
    engine = os.environ["DOCKER_HOST"].removeprefix("unix://")  # noqa: TID251
    text = (Path(__file__).parents[3] / "deploy" / "docker-proxy.conf").read_text("utf-8")
    replaced = {
        "/var/run/docker.sock": engine,
        "/run/trading-ops-docker/proxy.sock": f"{folder}/proxy.sock",
        "alpha|beta": name,
    }
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    settings = f"daemon off; user root; pid {folder}/pid; error_log {folder}/log; events {{}}"
    (folder / "nginx.conf").write_text(f"{settings}\nhttp {{ {text} }}\n", "utf-8")
    with subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf")]) as process:
        try:
            yield f"unix://{folder}/proxy.sock"
        finally:
            process.terminate()


def is_refused(url: str, *command: str) -> bool:
    done = subprocess.run(["docker", "--host", url, *command], capture_output=True, check=False)
    return done.returncode != 0


@pytest.mark.skipif(
    not shutil.which("nginx") or "DOCKER_HOST" not in os.environ,  # noqa: TID251
    reason="needs nginx, and DOCKER_HOST",
)
async def test_the_filtering_proxy_allows_the_listed_container_only(
    name: str, engine: Docker, tmp_path: Path
) -> None:
    other = f"{name}-other"
    await started(other, engine)
    try:
        before = await started(name, engine)
        with filtering_proxy(tmp_path, name) as url:
            await eventually((tmp_path / "proxy.sock").exists)
            proxied = Docker(url)
            assert (await proxied.status(name)).incarnation == before.incarnation
            await proxied.restart(name, WITHIN)
            now = await proxied.status(name)
            assert now.incarnation != before.incarnation
            assert await proxied.last_lines(name, str(now.incarnation)) == []
            await proxied.stop(name, timedelta(seconds=1))
            await proxied.start(name, WITHIN)
            assert (await proxied.status(name)).running
            with pytest.raises(SetupError, match="403"):
                await proxied.status(other)
            with pytest.raises(SetupError, match="403"):
                await proxied.restart(other, WITHIN)
            with pytest.raises(SetupError, match="403"):
                await proxied.last_lines(other, str(before.incarnation))
            await proxied.close()
            for command in (["ps"], ["exec", name, "/bin/sh"], ["rm", "--force", name]):
                assert is_refused(url, *command)
    finally:
        docker("rm", "--force", other)


async def test_an_engine_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    """No answer is not the same as no container."""
    gone = Docker(f"unix://{tmp_path}/docker.sock")
    with pytest.raises(ManagerUnavailable):
        await gone.status("bot")
    await gone.close()

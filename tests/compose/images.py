"""The images of docker-compose.yml on a machine that cannot pull them.

An image is pulled when its registry can be reached. Otherwise a stand-in with the same tag is built
from Debian packages and from the binaries on the PATH: it proves the compose file, its
configuration and our image, but not the image that it stands for. Where no base image can be pulled
either, it is made of the packages of this machine (tests/compose/installed.py).
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.compose.composed import DOCKERFILE, ROOT, SERVICES
from tests.compose.installed import import_image

# Removed: the settings of our processes refuse a variable that they do not know.
BASE = os.environ.pop("TRADING_OPS_TEST_BASE", "debian:12")  # noqa: TID251 - of the test itself
OURS = SERVICES["migrate"]["image"]
GRAFANA = SERVICES["grafana"]["image"]
"""There is no stand-in for it."""

INSTALLED = "trading-ops-test:installed"
"""The base image made of this machine's packages; it needs no `apt-get`."""

APT = "RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q"
APT += " --no-install-recommends"
SHARE = Path("/usr/share/prometheus")
POSTGRES = "/usr/lib/postgresql/15/bin"
INITIALIZE = f"""#!/bin/sh
set -eu
export PGDATA=/var/lib/postgresql/data PATH={POSTGRES}:$PATH
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    sed -i 's/^local .* peer$/local all all trust/' "$PGDATA/pg_hba.conf"
    pg_ctl -w start -o '-c listen_addresses='
    for file in /docker-entrypoint-initdb.d/*.sql; do
        psql -v ON_ERROR_STOP=1 -U postgres -f "$file"
    done
    pg_ctl -w -m fast stop
    sed -i 's/^local .* trust$/local all all peer/' "$PGDATA/pg_hba.conf"
fi
exec "$@"
"""


def docker(*arguments: str, text: str | None = None, within: float = 900) -> str:
    """Run the Docker client; return what it printed."""
    done = subprocess.run(
        ["docker", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=within,
        env=os.environ | {"DOCKER_BUILDKIT": "0"},  # noqa: TID251 - the client's own
    )
    assert done.returncode == 0, f"docker {arguments}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def missing_tools(*, compose: bool = True) -> str:
    """Return why no test with containers can run; empty when all is there."""
    if not shutil.which("docker"):
        return "docker is not installed"
    needed = [("a Docker engine", ["info"])]
    needed += [("Docker Compose", ["compose", "version"])] if compose else []
    for name, arguments in needed:
        done = subprocess.run(["docker", *arguments], capture_output=True, check=False, timeout=60)
        if done.returncode:
            return f"{name} does not answer"
    return ""


def missing_base() -> str:
    """Return why nothing can be built on the base image; empty when it is there."""
    if _succeeds("image", "inspect", BASE) or _succeeds("pull", "--quiet", BASE):
        return ""
    return f"{BASE} cannot be pulled: name a base image with TRADING_OPS_TEST_BASE"


def provide(without: Sequence[str] = ()) -> list[str]:
    """Pull the images that are missing, or build stand-ins; return the tags of the stand-ins."""
    wanted = {service["image"] for service in SERVICES.values()} | {_python()}
    built = []
    for tag in sorted(wanted):
        if tag == OURS or tag in without or _succeeds("image", "inspect", tag):
            continue
        if not _succeeds("pull", "--quiet", tag):
            _build(tag)
            built.append(tag)
    return built


def copy_project(folder: Path) -> None:
    """Copy what is committed, as `docker build` is to see it."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in tracked.stdout.split("\0")[:-1]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name, follow_symlinks=False)


def build_ours(folder: Path) -> None:
    """Build our own image from a copy of the project."""
    docker("build", "--network", "host", "-t", OURS, str(folder), within=1800)


def _python() -> str:
    return next(line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM "))


def _succeeds(*arguments: str) -> bool:
    command = ["docker", *arguments]
    return subprocess.run(command, capture_output=True, check=False, timeout=600).returncode == 0


def _build(tag: str) -> None:
    base = INSTALLED if missing_base() else BASE
    if base == INSTALLED and not _succeeds("image", "inspect", INSTALLED):
        import_image(INSTALLED)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = _recipe(tag.partition(":")[0], folder)
        if base == INSTALLED:
            recipe = [line for line in recipe if not line.startswith(APT)]
        lines = [f"FROM {base}", *recipe]
        (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
        docker("build", "--network", "host", "--quiet", "-t", tag, name)


def _recipe(name: str, folder: Path) -> list[str]:
    """Return the Dockerfile of a stand-in, after writing what it copies."""
    if name == "python":
        pip = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, check=True)
        settings = {
            key.rpartition(".")[2]: value.strip("'")
            for key, _, value in (line.partition("=") for line in pip.stdout.splitlines())
        }
        kept = {key: settings[key] for key in ("cert", "index-url", "proxy") if key in settings}
        text = "".join(f"{key} = {value}\n" for key, value in kept.items())
        (folder / "pip.conf").write_text(f"[global]\n{text}")
        return [
            f"{APT} python3 python3-venv python3-pip",
            "RUN ln -s python3 /usr/bin/python",
            "COPY pip.conf /etc/pip.conf",
        ]
    if name.startswith("prom/"):
        server = name.partition("/")[2]
        found = shutil.which(server) or shutil.which(f"prometheus-{server}")
        assert found, f"no {server} on the PATH"
        shutil.copy(found, folder / server)
        share = folder / "share"  # Debian's builds read their templates from there
        if SHARE.is_dir():
            shutil.copytree(SHARE, share)
        else:
            share.mkdir()
        return [
            f"{APT} wget",
            f"COPY share {SHARE}",
            f"COPY {server} /bin/{server}",
            f"RUN install -d -o 65534 -g 65534 /{server}",
            f'ENTRYPOINT ["/bin/{server}"]',
        ]
    if name == "postgres":
        (folder / "initialize").write_text(INITIALIZE)
        return [
            "RUN groupadd -o -g 999 postgres",
            "RUN useradd -o -u 999 -g 999 -d /var/lib/postgresql postgres",
            f"{APT} postgresql-15",
            "RUN install -d -o 999 -g 999 -m 0700 /var/lib/postgresql/data",
            "COPY initialize /initialize",
            "RUN chmod 0755 /initialize",
            f"ENV PATH={POSTGRES}:/usr/bin:/bin",
            'ENTRYPOINT ["/initialize"]',
            'CMD ["postgres"]',
        ]
    assert name == "busybox", f"there is no stand-in for {name}"
    return []


if __name__ == "__main__":  # so that the test itself finds them
    provide(without=[GRAFANA])
    with tempfile.TemporaryDirectory() as made:
        copy_project(Path(made))
        build_ours(Path(made))

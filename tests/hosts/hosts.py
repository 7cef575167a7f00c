"""Containers with systemd as PID 1, as hosts."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.compose.composed import ROOT
from tests.compose.images import BASE, docker

IMAGE = "trading-ops-test-host"
DOCKERFILE = f"""FROM {BASE}
RUN printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d \\
 && apt-get update -q \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \\
    systemd systemd-sysv dbus polkitd python3-venv prometheus prometheus-alertmanager openssl \\
    postgresql \\
 && rm /usr/sbin/policy-rc.d
RUN printf '[global]\\nno-index = true\\nfind-links = /wheels\\n' >/etc/pip.conf
"""
AS_A_HOST = [
    *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cgroupns=host"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"),
]
BOOTED = "until systemctl is-system-running | grep -E 'running|degraded'; do sleep 0.5; done"


class Host:
    """A running container; a call runs a shell line in it and returns the output."""

    def __init__(self, container: str) -> None:
        self.container = container

    def __call__(self, line: str) -> str:
        return docker("exec", self.container, "sh", "-ec", line, within=600)

    def put(self, path: str, content: str) -> None:
        """Write a file."""
        docker("exec", "-i", self.container, "sh", "-c", f"cat >'{path}'", text=content)


@contextlib.contextmanager
def running_host(name: str, image: str, wheels: Path, *network: str) -> Iterator[Host]:
    """Boot a host.

    Args:
        name: its host name.
        image: with systemd.
        wheels: folder with the release and all that it needs.
        network: options of `docker run` for its network.
    """
    container = f"{name}-{uuid.uuid4().hex[:8]}"
    mounts = ["-v", f"{wheels}:/wheels:ro", "-v", f"{ROOT / 'deploy'}:/deploy:ro"]
    options = ["--name", container, "--hostname", name, *AS_A_HOST, *mounts, *network]
    docker("run", "-d", *options, image, "/sbin/init")
    try:
        host = Host(container)
        host(BOOTED)
        yield host
    finally:
        docker("rm", "-f", container)

"""A base image made of the Debian packages that are installed on this machine.

For machines that cannot pull one: it needs no network and takes seconds.
"""

import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

PACKAGES = [
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "findutils", "grep", "login"),
    *("passwd", "procps", "sed", "tar", "util-linux", "ca-certificates", "wget"),
    *("python3", "python3-venv", "python3-pip", "postgresql-15"),
]
"""What the images of docker-compose.yml need, with what these depend on."""

DEPENDS = ["apt-cache", "depends", "--recurse", "--installed"]
DEPENDS += [f"--no-{option}" for option in ("recommends", "suggests", "conflicts", "breaks")]
DEPENDS += [f"--no-{option}" for option in ("replaces", "enhances")]

ALSO = ["/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ssl/certs/ca-certificates.crt"]
"""Made when packages are installed, not part of any."""

ACCOUNTS = r"--transform=s,usr/share/base-passwd/\(passwd\|group\).master,etc/\1,"
"""Only Debian's own users and groups, none of this machine."""


def import_image(tag: str) -> None:
    """Import the image.

    Raises:
        LookupError: packages that are needed are not installed.
    """
    names = "".join(f"{name}\0" for name in sorted(set(_files(_closure()))))
    pack = ["tar", "--create", "--directory=/", "--no-recursion", ACCOUNTS, "--null"]
    command = f"{shlex.join([*pack, '--files-from=-'])} | docker import - {shlex.quote(tag)}"
    subprocess.run(["bash", "-o", "pipefail", "-c", command], input=names, text=True, check=True)


def _closure() -> Sequence[str]:
    """Return the packages and all that they depend on."""
    missing = [
        package for package in PACKAGES if not Path(f"/var/lib/dpkg/info/{package}.list").exists()
    ]
    if missing:
        raise LookupError(f"these Debian packages are not installed: {' '.join(missing)}")
    listed = subprocess.run([*DEPENDS, *PACKAGES], capture_output=True, text=True, check=True)
    return sorted({line for line in listed.stdout.splitlines() if line[0] not in " <"})


def _files(packages: Sequence[str]) -> Iterator[str]:
    """Yield the paths below / of the packages' files; /bin/sh is usr/bin/sh."""

    @cache
    def real(folder: Path) -> Path:
        return folder.resolve()

    # It fails for an alternative that is not installed, and lists the others.
    listed = subprocess.run(
        ["dpkg-query", "-L", *packages], capture_output=True, text=True, check=False
    )
    for path in map(Path, [*ALSO, *listed.stdout.splitlines()]):
        found = real(path.parent) / path.name
        if path.is_relative_to("/usr/share/doc") or not os.path.lexists(found):
            continue
        if found.name:
            yield str(found.relative_to("/"))

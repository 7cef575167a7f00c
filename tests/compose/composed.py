"""docker-compose.yml, the Dockerfile and what they mount, as the tests read them."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

VAR = "/var/lib/trading-ops"
"""`var` of our processes."""

SRV = "/srv/trading-ops"
"""The folder of the project in our containers."""

OURS = [name for name, service in SERVICES.items() if service["image"].startswith("trading-ops:")]
ONCE = [name for name, service in SERVICES.items() if service["restart"] == "no"]
MEMBERS = [name for name in SERVICES if name != "net"]
"""Everyone but the holder of the network namespace."""


def mounts(name: str) -> Mapping[PurePosixPath, Path]:
    """Return what of the repository a service is given, by its path in the container."""
    found = {}
    for volume in SERVICES[name].get("volumes", ()):
        source, target, *_ = volume.split(":")
        if source.startswith("./"):
            found[PurePosixPath(target)] = ROOT / source
    return found


def volumes(name: str) -> Mapping[str, str]:
    """Return a service's named volumes, by their path in the container."""
    pairs = [volume.split(":")[:2] for volume in SERVICES[name].get("volumes", ())]
    return {target: source for source, target in pairs if not source.startswith("./")}


def secrets(name: str) -> Mapping[str, str]:
    """Return a service's secrets: the name of each by the path in the container."""
    found = {}
    for secret in SERVICES[name].get("secrets", ()):
        source = secret if isinstance(secret, str) else secret["source"]
        target = source if isinstance(secret, str) else secret["target"]
        found[target if target.startswith("/") else f"/run/secrets/{target}"] = source
    return found


def environment(name: str) -> dict[str, str]:
    """Return what a container of ours has in its environment, the image's own included."""
    image = {
        key: value
        for key, _, value in (
            part.partition("=") for part in DOCKERFILE.replace("\\\n", " ").split() if "=" in part
        )
        if key.startswith("TRADING_OPS_")
    }
    given: dict[str, str] = SERVICES[name].get("environment", {})
    return image | given


def read(name: str, target: str) -> Any:
    """Return the JSON file that a service finds at a path."""
    return json.loads(mounts(name)[PurePosixPath(target)].read_text(encoding="utf-8"))


def made_secrets(folder: Path) -> Path:
    """Run docker/secrets.sh on a copy; return its folder of secrets."""
    script = folder / "secrets.sh"
    script.write_bytes((ROOT / "docker" / "secrets.sh").read_bytes())
    subprocess.run(["sh", script], check=True, capture_output=True)
    return folder / "secrets"


def placed(name: str, folder: Path, root: str, secrets_from: Path) -> Path:
    """Build a container's folder `root` from its mounts and secrets; return it."""
    place = folder / name
    for target, source in mounts(name).items():
        if target.is_relative_to(root):
            path = place / target.relative_to(root)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(source)
    for target_of_secret, secret in secrets(name).items():
        if PurePosixPath(target_of_secret).is_relative_to(root):
            path = place / PurePosixPath(target_of_secret).relative_to(root)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(secrets_from / secret)
    return place

"""What no container of docker-compose.yml may be, have or show."""

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

import trading_ops
from tests.compose.composed import (
    COMPOSE,
    DOCKERFILE,
    MEMBERS,
    ONCE,
    OURS,
    ROOT,
    SERVICES,
    made_secrets,
    secrets,
)

FORBIDDEN = {
    "cap_add",
    "cgroup_parent",
    "device_cgroup_rules",
    "devices",
    "env_file",
    "extra_hosts",
    "group_add",
    "ipc",
    "pid",
    "privileged",
    "userns_mode",
    "uts",
    "volumes_from",
}
"""Keys that open a container, or bring in what is not in the repository."""


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each service in turn."""
    return SERVICES[request.param]


def test_it_has_no_root_no_capability_and_a_read_only_image(service: dict[str, Any]) -> None:
    """As a number, since a name is the image's word."""
    user, _, group = service["user"].partition(":")
    assert int(user) > 0
    assert group.isdigit()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not FORBIDDEN & service.keys()


def test_it_has_limits(service: dict[str, Any]) -> None:
    """Of memory, of processes, and of what its log may take on the disk."""
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] <= 256
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


def test_nothing_of_the_host_is_mounted_but_files_of_the_repository_read_only(
    service: dict[str, Any],
) -> None:
    """Docker's socket least of all."""
    for volume in service.get("volumes", ()):
        source, _, mode = volume.split(":") if volume.count(":") == 2 else (*volume.split(":"), "")
        if source in COMPOSE["volumes"]:
            continue
        assert mode == "ro"
        path = (ROOT / source).resolve()
        assert path.is_relative_to(ROOT)
        assert path.exists()
    assert "docker.sock" not in str(service)


def test_its_image_is_pinned(service: dict[str, Any]) -> None:
    """To a whole version, which ours shares with the package."""
    name, _, tag = service["image"].rpartition(":")
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-[a-z]+)?", tag)
    if name == "trading-ops":
        assert tag == trading_ops.__version__


def test_our_image_is_built_once_and_pulled_from_nowhere() -> None:
    """Two services that build one name at once fail; a name of ours may be someone else's."""
    (builder,) = (name for name in SERVICES if "build" in SERVICES[name])
    assert (SERVICES[builder]["build"], SERVICES[builder]["pull_policy"]) == (".", "build")
    assert builder in OURS
    assert {SERVICES[name]["pull_policy"] for name in OURS if name != builder} == {"never"}
    assert "net" not in OURS  # an update would take everyone's network away


def test_the_dockerfile_is_pinned_and_ends_as_the_user_of_the_services() -> None:
    """Both stages are one base; packages come with their hashes."""
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])
    assert "--require-hashes -r requirements/runtime.lock" in DOCKERFILE
    assert "--no-deps" in DOCKERFILE
    (user,) = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert {SERVICES[name]["user"] for name in OURS} == {user}


def test_ports_are_published_on_loopback_alone_and_by_the_holder_of_the_network() -> None:
    """Anyone who shares a namespace cannot publish; anyone who publishes elsewhere shows all."""
    for name in MEMBERS:
        assert SERVICES[name]["network_mode"] == "service:net"
        assert not {"ports", "networks", "expose"} & SERVICES[name].keys()
    published = SERVICES["net"]["ports"]
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in published)
    assert [port.rpartition(":")[2] for port in published] == ["3000", "9090", "9093"]
    assert set(SERVICES["net"]["networks"]) == set(COMPOSE["networks"])


def test_a_process_that_stays_up_is_restarted_and_probed(service: dict[str, Any]) -> None:
    """All but those that run once, and the holder of the network, in which nothing happens."""
    name = next(key for key, found in SERVICES.items() if found is service)
    once = name in ONCE
    assert service["restart"] == ("no" if once else "unless-stopped")
    assert ("healthcheck" in service) == (not once and name != "net")


def test_every_secret_is_written_by_the_script_and_given_to_someone(tmp_path: Path) -> None:
    """Neither list has a name that the other has not."""
    folder = made_secrets(tmp_path)
    defined = COMPOSE["secrets"]
    assert all(
        definition == {"file": f"./docker/secrets/{name}"} for name, definition in defined.items()
    )
    assert {path.name for path in folder.iterdir()} == set(defined)
    used = {secret for name in SERVICES for secret in secrets(name).values()}
    assert used == set(defined)


def test_secrets_are_closed_to_the_host_kept_and_all_different(tmp_path: Path) -> None:
    """The folder keeps others out; the mode of a file is what the containers see."""
    folder = made_secrets(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert len(set(before.values())) == len(before)
    assert all(len(text) >= 64 and "\n" not in text for text in before.values())
    (folder / "agent_token_alpha").unlink()
    after = {path.name: path.read_text() for path in made_secrets(tmp_path).iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"agent_token_alpha"}
    assert before["database_exporter_password"] in before["exporter_dsn"]


def test_no_secret_is_in_an_environment_the_image_or_the_repository() -> None:
    """Only the names of files."""
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET|KEY", key):
                assert key.endswith("_FILE")
                assert value.startswith("/run/secrets/")
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in sent
    assert not [line for line in sent if line.startswith("!") and "secrets" in line]
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "/docker/secrets/" in ignored


@pytest.mark.parametrize("given", [["agent_token_alpha", "metrics_token"], []])
def test_our_processes_get_a_copy_that_no_one_else_can_read(
    tmp_path: Path, given: list[str]
) -> None:
    """Twice, as after a restart of the process; then the command takes the script's place."""
    mounted = tmp_path / "run"
    mounted.mkdir()
    kept = tmp_path / "var" / "secrets"
    kept.mkdir(parents=True)
    for name in given:
        (mounted / name).write_text(name)
        (mounted / name).chmod(0o444)
    script = tmp_path / "entrypoint.sh"
    text = (ROOT / "docker" / "entrypoint.sh").read_text(encoding="utf-8")
    assert "/run/secrets/" in text
    script.write_text(text.replace("/run/secrets", str(mounted)), encoding="utf-8")
    for _ in range(2):
        completed = subprocess.run(
            ["sh", script, "echo", "$0", "a b"],
            env={"PATH": "/usr/bin:/bin", "TRADING_OPS_VAR": str(tmp_path / "var")},
            check=True,
            capture_output=True,
            text=True,
        )
        assert completed.stdout == "$0 a b\n"
    assert {path.name: path.read_text() for path in kept.iterdir()} == {
        variable: variable for variable in given
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept.iterdir()} <= {0o600}

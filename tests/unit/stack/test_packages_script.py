"""scripts/packages.sh with a Debian of shell scripts: nothing is installed anywhere."""

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.unit.stack.registries import REPOSITORY

FAKE_APT = """#!/bin/sh
echo "apt-get $*" >>"$LOG"
test -x "$POLICY" && echo "services may start: $("$POLICY"; echo $?)" >>"$LOG"
test -e "$CLUSTERS" && tail -n 1 "$CLUSTERS" >>"$LOG"
case "$*" in *" update") test -e "$BROKEN" && { rm "$BROKEN"; echo "no network"; exit 100; } ;; esac
case "$*" in *install*) test -z "$FAILS" || { echo "E: no such package"; exit 100; } ;; esac
exit 0
"""
FAKE_DPKG = (
    '#!/bin/sh\ntest "$4" = prometheus-alertmanager && echo "install ok installed"\nexit 0\n'
)
FAKE_SYSTEMCTL = '#!/bin/sh\necho "systemctl $*" >>"$LOG"\n'
FAKE_ID = "#!/bin/sh\necho $USER_ID\n"


class Debian:
    """Runs a function of the script, and tells what the tools were asked."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.log = folder / "log"
        self.policy = folder / "policy-rc.d"
        self.clusters = folder / "createcluster.d" / "trading-ops.conf"
        self.postgresql = folder / "postgresql"
        self.broken = folder / "broken"
        for name in (
            "bash",
            "sh",
            "env",
            "cat",
            "rm",
            "mv",
            "chmod",
            "mkdir",
            "mktemp",
            "tail",
            "grep",
        ):
            (self.bin / name).symlink_to(shutil.which(name) or "")
        self.add("apt-get", FAKE_APT)
        self.add("dpkg-query", FAKE_DPKG)
        self.add("systemctl", FAKE_SYSTEMCTL)
        self.add("id", FAKE_ID)

    def add(self, name: str, text: str = "#!/bin/sh\n") -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(
        self, command: str, *, user: int = 0, fails: str = ""
    ) -> subprocess.CompletedProcess[str]:
        script = (
            "set -euo pipefail; . scripts/say.sh; . scripts/packages.sh; "
            f"POLICY={self.policy}; CLUSTERS={self.clusters}; POSTGRESQL={self.postgresql}; "
            f"export POLICY CLUSTERS; {command}"
        )
        return subprocess.run(
            [str(self.bin / "bash"), "-c", script],
            cwd=REPOSITORY,
            env={
                "PATH": str(self.bin),
                "LOG": str(self.log),
                "BROKEN": str(self.broken),
                "FAILS": fails,
                "USER_ID": str(user),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def asked(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def debian(tmp_path: Path) -> Debian:
    return Debian(tmp_path)


def test_services_do_not_start_and_the_policy_is_removed(debian: Debian) -> None:
    """While packages are installed policy-rc.d returns 101; afterwards it is removed."""
    ended = debian.run("install_packages prometheus")
    assert ended.returncode == 0, ended.stderr
    asked = debian.asked()
    assert "install --no-install-recommends prometheus" in asked[2]
    assert asked.count("services may start: 101") == 2
    assert "systemctl disable prometheus.service" in asked
    assert not debian.policy.exists()


def test_the_policy_is_removed_after_a_failure_too(debian: Debian) -> None:
    """A failed installation shows why, ends with a sentence, and leaves no policy."""
    ended = debian.run("install_packages prometheus", fails="yes")
    assert ended.returncode == 1
    assert "E: no such package" in ended.stderr
    assert "Error: apt-get could not install prometheus" in ended.stderr
    assert not debian.policy.exists()


def test_a_killed_set_ups_policy_is_removed_by_the_next(debian: Debian) -> None:
    """kill -9 in the middle leaves our file; the next run knows it by its mark."""
    killed = debian.run("forbid_service_starts; kill -9 $$")
    assert killed.returncode == -signal.SIGKILL
    assert debian.policy.exists()
    assert debian.run("remove_left_policy").returncode == 0
    assert not debian.policy.exists()
    assert list(debian.policy.parent.glob("policy*")) == []


def test_a_policy_of_a_set_up_at_work_stands(debian: Debian) -> None:
    """Two set-ups at the same time do not take each other's policy away."""
    ended = debian.run("forbid_service_starts; : setup.sh; remove_left_policy; cat $POLICY")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("exit 101\n")


def test_a_left_policy_that_cannot_be_removed_is_reported(debian: Debian) -> None:
    """Without root the sentence has the administrator's command."""
    debian.run("forbid_service_starts; kill -9 $$")
    ended = debian.run("remove_left_policy", user=1000)
    assert ended.returncode == 1
    assert f"ask your administrator to run: rm {debian.policy}" in ended.stderr


def test_an_existing_policy_is_kept(debian: Debian) -> None:
    """A policy that was there is neither replaced nor removed."""
    debian.policy.write_text("#!/bin/sh\nexit 0\n")
    debian.policy.chmod(0o755)
    assert debian.run("remove_left_policy; install_packages prometheus").returncode == 0
    assert debian.policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_a_service_that_was_there_is_not_touched(debian: Debian) -> None:
    """Only what was just installed is kept from the next boot."""
    debian.run("install_packages prometheus prometheus-alertmanager")
    asked = debian.asked()
    assert "systemctl disable prometheus.service" in asked
    assert not any("alertmanager.service" in line for line in asked)


def test_an_update_that_fails_once_is_tried_again(debian: Debian) -> None:
    """One bad moment of the network ends nothing."""
    debian.broken.touch()
    assert debian.run("install_packages prometheus").returncode == 0
    assert sum(line.endswith(" update") for line in debian.asked()) == 2


def test_without_root_and_sudo_the_administrators_command_is_printed(debian: Debian) -> None:
    """The sentence has the packages and the command, and nothing was tried."""
    ended = debian.run("install_packages prometheus prometheus-alertmanager", user=1000)
    assert ended.returncode == 1
    command = "apt-get install --no-install-recommends prometheus prometheus-alertmanager"
    assert f"ask your administrator to run: {command}" in ended.stderr
    assert debian.asked() == []


def test_with_sudo_a_user_installs(debian: Debian) -> None:
    """An ordinary user's sudo is used, and no more than needed."""
    debian.add("sudo", '#!/bin/sh\necho "sudo $*" >>"$LOG"\ntest "$1" = -n && exit 0\nexec "$@"\n')
    assert debian.run("install_packages prometheus", user=1000).returncode == 0
    assert any(line.startswith("sudo env DEBIAN_FRONTEND") for line in debian.asked())


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        ((), "prometheus prometheus-alertmanager"),
        (("prometheus", "promtool"), "prometheus-alertmanager"),
        (("prometheus", "alertmanager", "amtool"), "prometheus"),
        (("prometheus", "promtool", "alertmanager", "amtool"), ""),
        (("prometheus", "promtool", "prometheus-alertmanager", "amtool"), ""),
    ],
)
def test_what_is_on_the_path_is_used(
    debian: Debian, present: tuple[str, ...], missing: str
) -> None:
    """Packages are named only for tools that are not there, under either name."""
    for name in present:
        debian.add(name)
    assert debian.run("missing_tool_packages").stdout == missing


def test_no_postgresql_cluster_is_made(debian: Debian) -> None:
    """Debian's own cluster is forbidden while its package is installed, and only then."""
    assert debian.run("install_packages prometheus").returncode == 0
    assert "create_main_cluster = false" not in debian.asked()
    ended = debian.run("install_packages prometheus postgresql")
    assert ended.returncode == 0, ended.stderr
    assert "create_main_cluster = false" in debian.asked()
    assert not debian.clusters.exists()


def test_a_killed_set_up_forbids_clusters_no_longer(debian: Debian) -> None:
    """What it left is known by its mark; someone's own file stands."""
    debian.run("forbid_clusters postgresql; kill -9 $$")
    assert debian.clusters.exists()
    assert debian.run("remove_left_policy").returncode == 0
    assert not debian.clusters.exists()
    debian.clusters.write_text("create_main_cluster = false\n")
    assert debian.run("remove_left_policy").returncode == 0
    assert debian.clusters.exists()


def test_postgresql_is_looked_for_wherever_it_may_be(debian: Debian) -> None:
    """On the PATH, in Debian's folders of versions, and where pg_config says."""
    assert "postgresql" in debian.run("missing_test_packages").stdout.split()
    folder = debian.postgresql / "15" / "bin"
    folder.mkdir(parents=True)
    debian.add("initdb")
    debian.add("postgres")
    assert "postgresql" not in debian.run("missing_test_packages").stdout.split()
    for name in ("initdb", "postgres"):
        (debian.bin / name).rename(folder / name)
    assert "postgresql" not in debian.run("missing_test_packages").stdout.split()
    elsewhere = folder.rename(debian.postgresql.with_name("elsewhere"))
    assert "postgresql" in debian.run("missing_test_packages").stdout.split()
    debian.add("pg_config", f"#!/bin/sh\necho {elsewhere}\n")
    assert "postgresql" not in debian.run("missing_test_packages").stdout.split()


def test_elsewhere_than_on_debian_the_tools_are_named(debian: Debian) -> None:
    """Without apt-get the sentence says what to install."""
    (debian.bin / "apt-get").unlink()
    ended = debian.run("install_packages prometheus")
    assert ended.returncode == 1
    assert "this is no Debian" in ended.stderr


def test_a_python_without_venv_that_is_not_debians_is_explained(debian: Debian) -> None:
    """Debian's package would not help another Python."""
    ended = debian.run("venv_package /opt/python/bin/python3")
    assert ended.returncode == 1
    assert "name another Python" in ended.stderr

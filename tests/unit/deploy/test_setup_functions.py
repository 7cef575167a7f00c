"""setup.sh with stubs of systemctl and of the releases: what an upgrade and a rollback decide."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import run

SETUP = Path(__file__).parents[3] / "deploy" / "setup.sh"
PREFIXES = ("/opt", "/etc", "/var/lib", "/usr/local/bin")

SYSTEMCTL = """#!/bin/sh
case $1 in show | is-*) ;; *) echo "$*" >>"$ROOT/systemctl.log" ;; esac
case $1 in
is-active)
    current=$(readlink "$ROOT/opt/trading-ops/current")
    [ "$3" != "$BROKEN" ] || [ "${current##*/}" = "$HEALTHY" ] ;;
show) echo 7 ;;
restart) for unit; do [ "$unit" != "$NOT_STARTING" ] || exit 1; done ;;
esac
"""
PYTHON = '#!/bin/sh\necho "$1" >>"$ROOT/python.log"\ncat "${0%/bin/*}/schema"\n'
SCHEMAS = {"a": "0008", "b": "0009"}
VENV = '#!/bin/sh\ncp -r "$ROOT/opt/trading-ops/releases/a" "$3"\n'
TRADING_OPS = """#!/bin/sh
[ "$2" != drop-in ] || exit 2
echo "$*" >>"$ROOT/trading-ops.log"
case $1 in
node) echo 'Error: reason' >&2; exit "${POLKIT_CODE:-0}" ;;
esac
"""


TARGETS = """\
version: 1
targets:
  - {name: reconciler, kind: reconciler, address: "127.0.0.1:1"}
  - {name: prometheus, kind: prometheus, address: "127.0.0.1:2"}
  - {name: alertmanager, kind: alertmanager, address: "127.0.0.1:3"}
"""


HEEDED = ("env", "--default-signal=HUP,INT,TERM")
"""Under nohup or in the background signals are ignored, and a shell cannot trap these."""


class Site:
    """A copy of the script whose folders are below a temporary one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        text = SETUP.read_text()
        for prefix in PREFIXES:
            (root / prefix[1:]).mkdir(parents=True)
            text = text.replace(f"={prefix}/", f"={root}{prefix}/")
        text = text.replace("/etc/default/", f"{root}/etc/default/").replace(
            f"{root}" * 2, str(root)
        )
        self.script = text.removesuffix('main "$@"\n')
        for folder in ("default", "polkit-1/rules.d"):
            (root / "etc" / folder).mkdir(parents=True)
        self.base = root / "opt/trading-ops"
        for name in ("a", "b"):
            created = self.base / "releases" / name / "bin"
            created.mkdir(parents=True)
            self.stub(created / "python", PYTHON)
            self.stub(created / "trading-ops", TRADING_OPS)
            (created.parent / "schema").write_text(SCHEMAS[name])
        (self.base / "current").symlink_to(self.base / "releases/b")
        (self.base / "previous").symlink_to(self.base / "releases/a")
        (root / "bin").mkdir()
        self.stub(root / "bin/systemctl", SYSTEMCTL)
        self.stub(root / "bin/runuser", '#!/bin/sh\nshift 3\nexec "$@"\n')
        self.stub(root / "bin/python3", VENV)
        self.stub(root / "bin/id", "#!/bin/sh\necho 0\n")

    def stub(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def run(self, commands: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run commands after the script's functions; installing is left out."""
        path = f"{self.root / 'bin'}:{os.defpath}"
        left_out = "packages() { :; }; users() { :; }; units() { :; }; STEADY_SECONDS=0\n"
        return subprocess.run(
            [*HEEDED, "sh", "-c", self.script + left_out + commands, "setup.sh"],
            env={"PATH": path, "ROOT": str(self.root)} | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def log(self, name: str) -> list[str]:
        path = self.root / f"{name}.log"
        return path.read_text().splitlines() if path.exists() else []

    def link(self, name: str) -> str:
        return (self.base / name).readlink().name


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_every_enabled_service_must_be_active(site: Site) -> None:
    assert site.run("attempt steady; exit $failed").returncode == 0
    done = site.run("attempt steady; exit $failed", BROKEN="trading-ops-exporter")
    assert done.returncode != 0
    assert "trading-ops-exporter is not active" in done.stderr


def test_a_rollback_makes_a_restore_point_first(site: Site) -> None:
    done = site.run("main rollback")
    assert done.returncode == 0, done.stderr
    commands = [line.split()[0] for line in site.log("trading-ops")]
    assert commands[:2] == ["backup", "migrate"]
    assert "-I" in site.log("python")
    assert (site.link("current"), site.link("previous")) == ("a", "b")


def test_no_backup_skips_the_restore_point(site: Site) -> None:
    assert site.run("main rollback --no-backup").returncode == 0
    assert site.log("trading-ops")[0] == "migrate --to 0008"


def test_a_rollback_of_a_node_needs_its_name(site: Site) -> None:
    (site.root / "etc/default/trading-ops-node").write_text("# written by setup.sh --node\n")
    done = site.run("main rollback")
    assert done.returncode == 1
    assert "only a node is installed here" in done.stderr
    assert not site.log("systemctl")


def test_prometheus_decides_nothing(site: Site) -> None:
    """One that is not ours is left alone, one of ours that does not start is a warning."""
    assert site.run("start").returncode == 0
    assert not any("prometheus" in line for line in site.log("systemctl"))
    (site.root / "etc/default/prometheus").write_text("# written by trading-ops setup.sh\n")
    done = site.run("start", NOT_STARTING="prometheus")
    assert done.returncode == 0, done.stderr
    assert "Warning: prometheus does not start" in done.stdout


@pytest.mark.parametrize(("code", "starts"), [("0", True), ("6", True), ("4", False)])
def test_only_a_node_without_services_is_left_out(site: Site, code: str, *, starts: bool) -> None:
    done = site.run("start", POLKIT_CODE=code)
    assert (done.returncode == 0) is starts, done.stderr
    restarted = "restart trading-ops-node" in site.log("systemctl")
    assert restarted is (code == "0")
    assert ("The node is not started: reason" in done.stdout) is (code == "6")


def test_a_node_that_is_not_listed_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    """setup.sh goes on then, and not with a targets.yml that it cannot read."""
    targets = tmp_path / "targets.yml"
    argv = ["node", "--name", "host-b", "--polkit", "user", "--targets", str(targets)]
    targets.write_text(TARGETS)
    assert run(argv) == ExitCode.NO_SERVICES
    targets.write_text(TARGETS + "  - {name: host-b, kind: node, address: '127.0.0.1:4'}\n")
    assert run(argv) == ExitCode.NO_SERVICES
    targets.write_text("version: 1\ntargets: [")
    assert run(argv) == ExitCode.SETUP


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_rollback_cannot_be_interrupted(site: Site, number: signal.Signals) -> None:
    """Between the stop of one release and the start of the other."""
    done = site.run(
        f"""
units() {{ kill -{number} $$; kill -{number} "$(sh -c 'echo $PPID')"; }}
main rollback
"""
    )
    assert done.returncode == 0, done.stderr
    assert (site.link("current"), site.link("previous")) == ("a", "b")
    assert site.log("systemctl")[-1].startswith("restart trading-ops-exporter")


def test_a_rollback_to_a_release_that_does_not_start_returns(site: Site) -> None:
    site.stub(site.base / "releases/a/bin/trading-ops", '#!/bin/sh\n[ "$1" != init ]\n')
    done = site.run("main rollback")
    assert done.returncode == 1
    assert "runs again" in done.stderr
    assert (site.link("current"), site.link("previous")) == ("b", "a")
    assert site.log("systemctl")[-1].startswith("restart trading-ops-exporter")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_upgrade_returns(site: Site, number: signal.Signals) -> None:
    """With the release before the old one still known."""
    commands = f"""
configure_and_start() {{ kill -{number} $$; kill -{number} "$(sh -c 'echo $PPID')"; sleep 60; }}
main upgrade
"""
    done = site.run(commands)
    assert done.returncode == 1
    assert (site.link("current"), site.link("previous")) == ("b", "a")
    assert site.log("systemctl")[-1].startswith("restart trading-ops-exporter")


def test_an_upgrade_that_is_not_healthy_keeps_what_was_known(site: Site) -> None:
    unhealthy = {"BROKEN": "trading-ops-node", "HEALTHY": "b"}
    done = site.run("configure_and_start() { steady; }; main upgrade", **unhealthy)
    assert done.returncode == 1
    assert "runs again" in done.stderr
    assert (site.link("current"), site.link("previous")) == ("b", "a")


def test_a_good_upgrade_can_be_taken_back(site: Site) -> None:
    done = site.run("configure_and_start() { steady; }; main upgrade")
    assert done.returncode == 0, done.stderr
    assert site.link("current") not in {"a", "b"}
    assert site.link("previous") == "b"


def test_an_upgrade_removes_old_releases(site: Site) -> None:
    """Not the one before, nor the newest of the others, which may have failed."""
    for name in ("20240101T000000Z", "20240102T000000Z"):
        (site.base / "releases" / name).mkdir()
    assert site.run("configure_and_start() { :; }; main upgrade").returncode == 0
    kept = {path.name for path in (site.base / "releases").iterdir()}
    assert kept == {"a", "b", site.link("current")}


def test_a_host_with_a_node_only_is_cleaned_up_by_a_timer(site: Site) -> None:
    """Elsewhere the reconciler's job does it."""
    body = site.script.partition("\nunits() {")[2].partition("\n}\n")[0]
    site.stub(site.root / "bin/install", "#!/bin/sh\n")
    shipped = site.root / "etc/trading-ops/deploy/systemd"
    shipped.mkdir(parents=True)
    (shipped / "trading-ops-clean-up.timer").touch()
    assert site.run(f"units() {{{body}\n}}\nunits").returncode == 0
    assert not [line for line in site.log("systemctl") if "timer" in line]
    assert site.run(f"units() {{{body}\n}}\nNODE=host-b; units").returncode == 0
    assert site.log("systemctl")[-1] == "enable --quiet --now trading-ops-clean-up.timer"


def test_a_host_with_a_node_only_has_its_backups_and_a_command_for_them(site: Site) -> None:
    """Both with the user and the folder of the node; elsewhere the reconciler takes them."""
    site.stub(site.root / "bin/install", '#!/bin/sh\necho "$*" >>"$ROOT/install.log"\n')
    site.stub(site.root / "bin/chown", "#!/bin/sh\n")
    site.stub(site.root / "bin/id", "#!/bin/sh\necho 1\n")
    shown = 'echo "$TRADING_OPS_ROOT $TRADING_OPS_VAR $*" >>"$ROOT/shown.log"\n'
    site.stub(site.base / "releases/b/bin/trading-ops", f"#!/bin/sh\n{shown}")
    done = site.run("NODE=host-b; command_line; node_folders; $COMMAND backup list")
    assert done.returncode == 0, done.stderr
    root = site.root
    place = f"{root}/etc/trading-ops {root}/var/lib/trading-ops-node"
    assert site.log("shown") == [f"{place} backup list"]
    assert "runuser -u trading-ops-node" in (root / "usr/local/bin/trading-ops").read_text()
    assert "-o trading-ops-node" in site.log("install")[0]
    assert str(root / "var/lib/trading-ops-backups") in site.log("install")[0]
    defaults = (root / "etc/default/trading-ops-node").read_text().splitlines()
    assert defaults[1:] == ["NODE_NAME=host-b", "NODE_BACKUPS=--backups"]


@pytest.mark.parametrize(
    ("node", "var", "unit"),
    [
        ("", "", "trading-ops-reconciler"),
        ("NODE=host-b;", "var/lib/trading-ops-node", "trading-ops-node"),
    ],
)
def test_the_unit_that_takes_backups_may_write_to_the_repository(
    site: Site, node: str, var: str, unit: str
) -> None:
    """As settings.yml names it; an older release, which cannot tell, changes nothing."""
    body = site.script.partition("\nunits() {")[2].partition("\n}\n")[0]
    units = f"{node} units() {{{body}\n}}; SERVICES=''; units"
    file = site.root / f"etc/systemd/system/{unit}.service.d/trading-ops-backups.conf"
    reports = '#!/bin/sh\n[ "$*" = "backup drop-in" ] || exit 2\necho "[$TRADING_OPS_VAR]"\n'
    site.stub(site.base / "releases/b/bin/trading-ops", reports)
    done = site.run(units)
    assert done.returncode == 0, done.stderr
    assert file.read_text() == f"[{site.root / var if var else ''}]\n"
    assert site.log("systemctl")[-1] == "daemon-reload"
    site.stub(site.base / "releases/b/bin/trading-ops", "#!/bin/sh\necho none\nexit 2\n")
    assert site.run(units).returncode == 0
    assert file.read_text().startswith("[")
    own = file.with_name("own.conf")
    own.touch()
    assert site.run("main uninstall").returncode == 0
    assert list(file.parent.iterdir()) == [own]


@pytest.mark.parametrize("code", ["4", "70"])
def test_a_rollback_to_a_release_with_other_exit_codes(site: Site, code: str) -> None:
    """Releases differ in the one for a node without services; the node that ran goes on."""
    done = site.run("main rollback", POLKIT_CODE=code)
    assert done.returncode == 0, done.stderr
    assert site.link("current") == "a"
    assert "restart trading-ops-node" in site.log("systemctl")


def test_a_rollback_to_a_release_without_the_timer(site: Site) -> None:
    """`init --update` of the older release has removed the units that it does not ship."""
    (site.root / "etc/default/trading-ops-node").write_text("NODE_NAME=host-b\n")
    systemd = site.root / "etc/trading-ops/deploy/systemd"
    systemd.mkdir(parents=True)
    units = site.root / "etc/systemd/system"
    units.mkdir(parents=True)
    (systemd / "trading-ops-node.service").touch()
    for name in ("service", "timer"):
        (units / f"trading-ops-clean-up.{name}").touch()
    body = site.script.partition("\nunits() {")[2].partition("\n}\n")[0]
    done = site.run(f"units() {{{body}\n}}\nmain rollback --node host-b")
    assert done.returncode == 0, done.stderr
    assert site.link("current") == "a"
    assert "disable --quiet --now trading-ops-clean-up.timer" in site.log("systemctl")
    assert {path.name for path in units.iterdir()} == {"trading-ops-node.service"}
    assert site.log("systemctl")[-1].startswith("restart trading-ops-node")


def test_a_return_needs_no_room_for_its_output(site: Site) -> None:
    done = site.run("MEMORY=/nonexistent; mktemp() { return 1; }; main rollback")
    assert done.returncode == 0, done.stderr
    assert site.link("current") == "a"


def test_a_return_to_the_newer_release_leaves_the_schema_to_it(site: Site) -> None:
    """The older one does not know the newer revision."""
    site.stub(
        site.base / "releases/a/bin/trading-ops",
        f'{TRADING_OPS}\necho a "$*" >>"$ROOT/a.log"\n[ "$1" != init ]\n',
    )
    done = site.run("main rollback")
    assert "runs again" in done.stderr
    assert [line for line in site.log("trading-ops") if "migrate" in line] == ["migrate --to 0008"]
    assert not [line for line in site.log("a") if "migrate" in line]
    assert "The schema was not changed" not in done.stdout


def test_a_rollback_goes_back_if_the_older_release_does_not_stay_up(site: Site) -> None:
    """As an upgrade does: a release that starts is not yet a good one."""
    done = site.run("main rollback", BROKEN="trading-ops-exporter", HEALTHY="b")
    assert done.returncode == 1
    assert "runs again" in done.stderr
    assert (site.link("current"), site.link("previous")) == ("b", "a")


@pytest.mark.parametrize("previous", ["b", "gone"])
def test_a_rollback_to_nowhere_changes_nothing(site: Site, previous: str) -> None:
    (site.base / "previous").unlink()
    (site.base / "previous").symlink_to(site.base / "releases" / previous)
    assert site.run("main rollback").returncode == 1
    assert site.link("current") == "b"
    assert not site.log("systemctl")
    assert not site.log("trading-ops")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_change_of_the_links_is_finished(site: Site, number: signal.Signals) -> None:
    """Otherwise the release that runs counts as the one before."""
    commands = f"""
remember() {{
    [ -z "$1" ] || ln -sfn "$1" "$BASE/previous"
    kill -{number} $$
    kill -{number} "$(sh -c 'echo $PPID')"
}}
configure_and_start() {{ :; }}
main upgrade
"""
    done = site.run(commands)
    assert done.returncode == 0, done.stderr
    assert (site.link("current") in {"a", "b"}, site.link("previous")) == (False, "b")


def test_failed_upgrades_do_not_fill_the_disk(site: Site) -> None:
    """The newest one is kept for a look; one whose packages were not installed is removed."""
    for name in ("20240101T000000Z", "20240102T000000Z"):
        (site.base / "releases" / name).mkdir()
    failing = {"BROKEN": "trading-ops-node", "HEALTHY": "b"}
    assert site.run("configure_and_start() { steady; }; main upgrade", **failing).returncode == 1
    kept = {path.name for path in (site.base / "releases").iterdir()}
    assert kept > {"a", "b"}
    assert len(kept) == 3
    assert not any(name.startswith("2024") for name in kept)
    site.stub(site.root / "bin/python3", '#!/bin/sh\nmkdir "$3"\nexit 1\n')
    done = site.run("configure_and_start() { steady; }; main upgrade")
    assert done.returncode == 1
    assert {path.name for path in (site.base / "releases").iterdir()} <= kept
    assert (site.link("current"), site.link("previous")) == ("b", "a")


def test_what_fails_twice_leaves_the_release_before_known(site: Site) -> None:
    done = site.run("configure_and_start() { false; }; main upgrade", BROKEN="trading-ops-node")
    assert done.returncode == 1
    assert "either" in done.stderr
    assert (site.link("current"), site.link("previous")) == ("b", "a")


def restore(
    site: Site, words: str = "restore", **variables: str
) -> subprocess.CompletedProcess[str]:
    (site.root / "var/lib/trading-ops").mkdir(exist_ok=True)
    site.stub(site.root / "bin/chown", '#!/bin/sh\necho "chown $*" >>"$ROOT/trading-ops.log"\n')
    return site.run(f"folders() {{ ours config apply; }}; main {words}", **variables)


def test_a_restore_runs_as_root_while_the_services_are_stopped(site: Site) -> None:
    """The new data is root's then: the services start when it is theirs again."""
    done = restore(site, "restore 2026")
    assert done.returncode == 0, done.stderr
    checked, restored, owned, *rest = site.log("trading-ops")
    assert checked == f"{restored} --dry-run"
    assert restored.startswith("restore 2026 --in-place")
    assert owned.startswith("chown -R trading-ops:trading-ops")
    assert "config apply" in rest
    verbs = [line.split()[0] for line in site.log("systemctl")]
    assert verbs[:3] == ["stop"] * 3
    assert "restart" in verbs[3:]


@pytest.mark.parametrize(("only", "stopped"), [("--dry-run", False), ("--owner root", True)])
def test_a_restore_that_fails_starts_nothing(site: Site, only: str, *, stopped: bool) -> None:
    """A wrong ID is reported before anything is stopped."""
    fails = f'{TRADING_OPS}case "$*" in *"{only}") exit 1 ;; esac\n'
    site.stub(site.base / "releases/b/bin/trading-ops", fails)
    done = restore(site, "restore", SUDO_USER="root")
    assert done.returncode != 0
    assert {line.split()[0] for line in site.log("systemctl")} == ({"stop"} if stopped else set())
    assert ("the services are stopped" in done.stderr) is stopped


@pytest.mark.parametrize(
    ("installed", "wanted"),
    [
        ("trading-ops[node,calendars]==0.1.0", "trading-ops[node,calendars]"),
        ("", "trading-ops[node,exporter,postgresql]"),
    ],
)
def test_an_upgrade_keeps_the_extras(site: Site, installed: str, wanted: str) -> None:
    if installed:
        (site.base / "current/package").write_text(f"{installed}\n")
    done = site.run("configure_and_start() { steady; }; main upgrade")
    assert done.returncode == 0, done.stderr
    assert (site.base / "current/package").read_text() == f"{wanted}\n"


def test_an_upgrade_from_a_file_needs_the_next_one(site: Site) -> None:
    (site.base / "current/package").write_text("/srv/trading_ops-0.1.0.whl[node]\n")
    done = site.run("main upgrade")
    assert done.returncode == 1
    assert "--package" in done.stderr
    assert not site.log("trading-ops")
    commands = "configure_and_start() { steady; }; main upgrade --package '/srv/b.whl[node]'"
    assert site.run(commands).returncode == 0


def test_another_package_cannot_be_installed_over_a_release(site: Site) -> None:
    (site.base / "current/package").write_text("trading-ops[node]\n")
    install = "configure_and_start() { :; }; main install --package 'trading-ops[node%s]'"
    assert site.run(install % "").returncode == 0
    done = site.run(install % ",calendars")
    assert done.returncode == 1
    assert "setup.sh upgrade --package 'trading-ops[node,calendars]'" in done.stderr


def test_a_node_that_was_removed_can_be_followed_by_anything(site: Site) -> None:
    defaults = site.root / "etc/default/trading-ops-node"
    defaults.write_text("# written by setup.sh --node\nNODE_NAME=host-b\n")
    assert site.run("main uninstall").returncode == 0
    assert not defaults.exists()
    done = site.run("configure_and_start() { :; }; release() { :; }; main install")
    assert done.returncode == 0, done.stderr


def test_an_older_file_of_prometheus_gets_the_flags_that_it_lacks(site: Site) -> None:
    """Without losing what was changed in it."""
    file = site.root / "etc/default/prometheus"
    ours = "# written by trading-ops setup.sh\n"
    file.write_text(f'{ours}ARGS="--config.file=mine --web.listen-address=10.0.0.4:9090"\n')
    for _ in range(2):
        done = site.run("WITH_PROMETHEUS=yes; peers")
        assert done.returncode == 0, done.stderr
    text = file.read_text()
    assert "--config.file=mine" in text
    assert "10.0.0.4:9090" in text
    assert "127.0.0.1" not in text
    for flag in ("--web.cors.origin=none", "--rules.alert.for-grace-period=1m"):
        assert text.count(flag) == 1

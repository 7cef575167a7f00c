"""Which sets of pgBackRest are taken and removed; its program is one that only lists them."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from trading_ops import clock
from trading_ops.backup.postgresql.pgbackrest import PgBackRest
from trading_ops.backup.postgresql.server import Server
from trading_ops.errors import StoreError

pytestmark = pytest.mark.processes

OURS, THEIRS = 7001, 7002
PROGRAM = """#!{python} -IS
import json, sys, time
file = "{folder}/state.json"
state = json.load(open(file))
command = [arg for arg in sys.argv[1:] if not arg.startswith(("--config", "--stanza", "--log"))]
given = dict(arg[2:].partition("=")[::2] for arg in command if arg.startswith("--"))
verb = next(arg for arg in command if not arg.startswith("--"))
state["ran"].append([verb, given])
sets = state["backup"]
if verb in ("stanza-create", "stanza-upgrade"):
    state["db"] = [dict(id=1, **{{"system-id": state["server"]}}, version="15")]
elif verb == "backup":
    kind = given["type"]
    base = [item["label"] for item in sets if item["type"] == "full"][-1:] if kind == "incr" else []
    now = int(time.time())
    sets.append(dict(
        label="%04d%s" % (len(state["ran"]), kind[0].upper()), type=kind, database=dict(id=1),
        lsn=dict(start="0/1000000", stop="0/1000100"), info=dict(size=1),
        timestamp=dict(start=now, stop=now), reference=base or None, error=False,
    ))
elif verb == "expire":
    gone = given["set"]
    state["backup"] = [
        item for item in sets if item["label"] != gone and gone not in (item["reference"] or ())
    ]
json.dump(state, open(file, "w"))
if verb == "info":
    print(json.dumps([dict(name="orders", backup=state["backup"], db=state["db"])]))
"""


@dataclass
class FakeServer:
    """What is asked of a server; its time can be moved."""

    system: str = str(OURS)
    days: int = 0
    major: int = 15
    segment: int = 16 * 1024 * 1024
    database: str = "orders"
    superuser: str = "postgres"
    size: int = 1

    def now(self) -> datetime:
        return clock.now() + timedelta(days=self.days)


class Scene:
    """A repository, the program, and the driver."""

    def __init__(self, folder: Path, *, cluster: int = OURS) -> None:
        self._state = folder / "state.json"
        self._write({"server": cluster, "db": [], "backup": [], "ran": []})
        repository = folder / "repository"
        repository.mkdir()
        self.config = folder / "pgbackrest.conf"
        self.config.write_text(f"[global]\nrepo1-path={repository}\n[orders]\n")
        archive = repository / "archive" / "orders" / "15-1" / "0000000100000000"
        archive.mkdir(parents=True)
        (archive / f"000000010000000000000001-{'a' * 40}.gz").touch()
        self.work = folder / "work"
        self.server = FakeServer()

    def _write(self, state: Mapping[str, Any]) -> None:
        self._state.write_text(json.dumps(state))

    @property
    def driver(self) -> PgBackRest:
        return PgBackRest(self.work, self.config)

    def back_up(self) -> str:
        """Do what a backup does with the sets; return the one that it contains."""
        driver = self.driver
        taken = driver.refresh(cast(Server, self.server))
        driver.forget()
        return taken.label

    def other_set(self, label: str) -> None:
        """Have an operator take a full set."""
        state = json.loads(self._state.read_text())
        now = int(clock.timestamp())
        state["backup"].append(
            {"label": label, "type": "full", "database": {"id": 1}, "info": {"size": 1},
             "lsn": {"start": "0/1000000", "stop": "0/1000100"}, "reference": None,
             "timestamp": {"start": now, "stop": now}, "error": False}
        )  # fmt: skip
        self._write(state)

    @property
    def sets(self) -> list[str]:
        return [backup["label"] for backup in json.loads(self._state.read_text())["backup"]]

    def ran(self, verb: str) -> list[dict[str, str]]:
        ran = json.loads(self._state.read_text())["ran"]
        return [given for name, given in ran if name == verb]


def scene_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, cluster: int = OURS) -> Scene:
    program = tmp_path / "bin" / "pgbackrest"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable, folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return Scene(tmp_path, cluster=cluster)


def test_nothing_is_taken_of_another_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stanza's server is compared first, so that no attempt fills the repository."""
    scene = scene_of(tmp_path, monkeypatch, cluster=THEIRS)
    for _ in range(2):
        with pytest.raises(StoreError, match="another server"):
            scene.back_up()
    assert scene.ran("backup") == []


def test_sets_of_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each day has a set, an own old one is removed by its label, and with it no WAL of others."""
    scene = scene_of(tmp_path, monkeypatch)
    first = scene.back_up()
    scene.other_set("9001F")
    scene.server.days = 1
    assert scene.back_up() == first  # it still contains the old one, so that no moment is left out
    assert scene.back_up() == scene.sets[-1] != first
    scene.server.days = 2
    scene.back_up()
    scene.back_up()
    assert "9001F" in scene.sets
    for given in scene.ran("expire"):
        assert given["set"] not in {"9001F", scene.sets[-1]}
        assert int(given["repo1-retention-archive"]) >= len(scene.sets) - 1


def test_what_a_newer_set_depends_on_stays_until_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An incremental set needs its full one; both go when a new full one has taken over."""
    scene = scene_of(tmp_path, monkeypatch)
    full = scene.back_up()
    for days in (1, 2):
        scene.server.days = days
        scene.back_up()
    newest = scene.back_up()
    assert scene.sets == [full, newest]
    state = json.loads((tmp_path / "state.json").read_text())
    for backup in state["backup"]:
        backup["timestamp"]["start"] -= 8 * 86_400  # so the next one is full
    (tmp_path / "state.json").write_text(json.dumps(state))
    scene.server.days = 3
    scene.back_up()
    scene.back_up()
    assert len(scene.sets) == 1
    assert scene.sets[0].endswith("F")
    assert scene.sets[0] != full

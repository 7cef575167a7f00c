"""A PostgreSQL server that archives its WAL through pgBackRest."""

import os
import shutil
from datetime import timedelta
from pathlib import Path

import msgspec

from tests.backup.installation import Installation
from tests.postgres import Cluster
from trading_ops.backup.postgresql.pgbackrest import Taken

STANZA = "orders"


def set_up(cluster: Cluster) -> Path:
    """Let a server archive into a new repository beside its data; return the configuration."""
    folder = cluster.folder / "pgbackrest"
    owner = (cluster.folder / "data").stat()
    for path in (folder, folder / "repository", folder / "lock"):
        path.mkdir(mode=0o750)
        os.chown(path, owner.st_uid, owner.st_gid)
    config = folder / "pgbackrest.conf"
    config.write_text(
        f"[global]\nrepo1-path={folder}/repository\nlock-path={folder}/lock\nlog-level-file=off\n"
        f"compress-level=1\n[{STANZA}]\npg1-path={cluster.folder}/data\npg1-port={cluster.port}\n"
        f"pg1-socket-path={cluster.folder}\npg1-user=admin\n"
    )
    access = cluster.folder / "data/pg_hba.conf"
    access.write_text(f"local all admin trust\n{access.read_text()}")
    push = f"{shutil.which('pgbackrest')} --config={config} --stanza={STANZA} archive-push %p"
    cluster.settings |= {"archive_mode": "on", "archive_command": push}
    cluster.restart("fast")
    return config


def age_set(installation: Installation) -> None:
    """Make the sets that this host has noted a day older."""
    path = installation.settings.backup_work / "pgbackrest/sets.json"
    taken = msgspec.json.decode(path.read_bytes(), type=list[Taken])
    day = timedelta(days=1)
    older = [msgspec.structs.replace(backup, taken_at=backup.taken_at - day) for backup in taken]
    path.write_bytes(msgspec.json.encode(older))

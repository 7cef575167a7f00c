"""Guards against replays after a restore: raised fences and nonces, and reduce-only bots.

A restored database would issue fences and nonces that were used since the backup. All of them are
therefore raised above every value that can have been used.
"""

import struct
import zlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from trading_ops import clock, durable
from trading_ops.agent.durable import read_json, write_json
from trading_ops.audit.checkpoint import append, make_anchor
from trading_ops.backup.manifest import Manifest
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.domain.target import Registry
from trading_ops.errors import SetupError, TradingOpsError
from trading_ops.store import audit_chain, holds, leases, migrate
from trading_ops.store.engine import writing_engine
from trading_ops.store.writer import transaction

FENCES = 100_000
"""More attempts than automation can start on a target in a year; less than `MOST_AHEAD`."""

NONCES_AHEAD = timedelta(minutes=1)
PAGE = 4096
MAGIC = b"nonces-1"
_BODY = struct.Struct("<8sQQ")
_SUM = struct.Struct("<I")


def raise_guards(
    settings: Settings,
    var: Path,
    manifest: Manifest,
    *,
    bots: Path,
    store: str | None,
    key: bytes,
    owner: str,
) -> None:
    """Raise all fences and nonces in a restored `var` and store, and make each bot reduce-only.

    Args:
        settings: of this installation.
        var: the restored folder.
        manifest: of the backup.
        bots: the restored records of bots outside of `var`, one folder for each.
        store: URL of the restored store; None: the backup has none.
        key: of the audit chain.
        owner: the operator.

    Raises:
        SetupError: a file of fences or nonces cannot be read.
        StoreError: the restored database cannot be changed.
    """
    seen = _raise_files(var, bots, manifest)
    try:
        registry = load_targets(settings.targets_file)
    except TradingOpsError:
        registry = Registry(())  # unreadable: the bots' own files still have their holds
    reason = f"restored from backup {manifest.id}: reconcile, then resume"
    made = {
        target.name: Hold(
            id=f"restore-{manifest.id}-{target.name}",
            target=target.name,
            state=HeldState.REDUCING,
            owner=owner,
            reason=reason,
            at=clock.now(),
        )
        for target in registry.bots
    }
    units = {bot.service.unit: bot.name for bot in registry.bots if bot.service}
    in_var = {path: path.parent.name for path in var.rglob("holds.json")}
    files = {path: units.get(unit, unit) for path, unit in in_var.items()}
    files |= {path: path.relative_to(bots).parts[0] for path in bots.rglob("holds.json")}
    for path, name in sorted(files.items()):
        _hold_in_file(path, name, made, owner=owner, reason=reason)
    if store is not None:
        head = _change_store(store, seen, list(made.values()), key=key, owner=owner)
        # Otherwise a truncation before the reconciler's first anchor would not be detected.
        append(var / "audit" / "anchors", make_anchor(key, head, clock.now()))


def _raise_files(var: Path, bots: Path, manifest: Manifest) -> dict[str, int]:
    """Raise the fences and nonces in all files; return the highest old fence of each target."""
    seen: dict[str, int] = {}
    for path in sorted([*var.rglob("fence.json"), *bots.rglob("fence.json")]):
        for target, fence in _raise_file(path).items():
            seen[target] = max(fence, seen.get(target, 0))
    for path in sorted(var.glob("**/nonces/*/ceiling")):
        _raise_nonces(path, manifest)
    for path in sorted(bots.rglob("ceiling")):
        if MAGIC in path.read_bytes():  # the folder is the bot's: the file may be another program's
            _raise_nonces(path, manifest)
    return seen


def _raise_file(path: Path) -> dict[str, int]:
    """Raise the fences in an executor's file; return the old ones."""
    data = read_json(path)
    before: dict[str, int] = data.get("fences", {})
    raised = {target: min(fence + FENCES, leases.MAXIMUM_FENCE) for target, fence in before.items()}
    write_json(path, data | {"fences": raised})
    return before


def _raise_nonces(path: Path, manifest: Manifest) -> None:
    """Raise a ceiling file above every nonce that was issued since the backup.

    A ceiling follows the clock in microseconds, or runs ahead of it no faster than the clock.
    """
    data = path.read_bytes()
    slots = [_BODY.unpack_from(page) for page in (data[:PAGE], data[PAGE:]) if _is_intact(page)]
    if not slots:
        raise SetupError(f"{path}: both copies of the highest nonce are damaged")
    write, ceiling = max(slot[1] for slot in slots), max(slot[2] for slot in slots)
    now = clock.now()
    passed = (now - manifest.created_at + NONCES_AHEAD) // timedelta(microseconds=1)
    raised = max(ceiling, int(now.timestamp() * 1e6)) + max(passed, 0)
    durable.write(path, _slot(write + 1, raised) + _slot(write + 2, raised))


def _is_intact(page: bytes) -> bool:
    if len(page) != PAGE or page[: len(MAGIC)] != MAGIC:
        return False
    (check,) = _SUM.unpack_from(page, _BODY.size)
    return bool(check == zlib.crc32(page[: _BODY.size]))


def _slot(write: int, ceiling: int) -> bytes:
    body = _BODY.pack(MAGIC, write, ceiling)
    return (body + _SUM.pack(zlib.crc32(body))).ljust(PAGE, b"\0")


def _hold_in_file(
    path: Path, name: str, made: Mapping[str, Hold], *, owner: str, reason: str
) -> None:
    hold = made.get(name)
    entry: dict[str, Any] = {
        "id": hold.id if hold else f"restore-{name}",
        "state": HeldState.REDUCING.value,
        "owner": owner,
        "reason": reason,
        "at": clock.timestamp(),
    }
    data = read_json(path)
    kept = [hold for hold in data.get("holds", []) if hold.get("id") != entry["id"]]
    write_json(path, data | {"holds": [*kept, entry]})


def _change_store(
    url: str, seen: Mapping[str, int], bots: list[Hold], *, key: bytes, owner: str
) -> audit_chain.Head:
    migrate.upgrade(url)
    engine = writing_engine(url)
    try:
        with transaction(engine, key) as connection:
            now = clock.now()
            leases.raise_all(connection, seen, by=FENCES, owner=owner, now=now)
            for hold in bots:
                holds.place(connection, hold, now=now)
        with engine.connect() as connection:
            return audit_chain.newest(connection)
    finally:
        engine.dispose()

"""`python -m trading_ops.app` without the stack, as another service manager runs it."""

import asyncio
import os
import stat
import sys
from pathlib import Path

from tests.free_ports import free_port
from tests.service.stack.small import REPOSITORY, until
from tests.unit.stack.registries import changed, settings_in
from trading_ops_lab.supervisor.layout import lay_out


async def test_its_database_is_for_the_owner_only(tmp_path: Path) -> None:
    """Under an ordinary umask, whatever it writes can be read by nobody else."""
    address = f"127.0.0.1:{free_port()}"
    moved = ("127.0.0.1:8431", address)
    lay_out(settings_in(tmp_path / "var"), changed(moved))
    targets = tmp_path / "targets.yml"
    targets.write_text((REPOSITORY / "targets.yml").read_text().replace(*moved))
    output = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT, 0o600)
    process = await asyncio.create_subprocess_exec(
        "env",
        f"TRADING_OPS_ROOT={REPOSITORY}",
        f"TRADING_OPS_VAR={tmp_path / 'var'}",
        f"TRADING_OPS_TARGETS_FILE={targets}",
        sys.executable,
        "-m",
        "trading_ops.app",
        stderr=output,
        umask=0o022,
    )
    os.close(output)
    try:
        await until(lambda: "reconciler_started" in (tmp_path / "log").read_text())
    finally:
        process.terminate()
        await process.wait()
    written = [path for path in (tmp_path / "var" / "reconciler").iterdir() if path.is_file()]
    assert any(path.suffix == ".db" for path in written), written
    assert [path for path in written if stat.S_IMODE(path.stat().st_mode) & 0o077] == []

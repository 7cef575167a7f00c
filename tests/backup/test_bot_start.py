"""A restore test starts the bots on the restored data, with the commands of targets.yml."""

from pathlib import Path

import pytest

from tests.backup.installation import TARGETS, Installation
from trading_ops.backup.manifest import Damaged
from trading_ops.config.targets import parse_targets
from trading_ops.errors import ConfigError


def name_command(installation: Installation, *argv: str) -> None:
    entry = "    venue: paper\n"
    text = TARGETS.replace(entry, f"{entry}    restore_test: {list(argv)}\n", 1)
    (installation.root / "targets.yml").write_text(text)


def test_the_bot_starts_on_the_restored_data(installation: Installation, tmp_path: Path) -> None:
    """Not on the data in use."""
    seen = tmp_path / "seen"
    code = f"import sys; open('{seen}', 'w').write(open(sys.argv[1]).read() + sys.argv[1])"
    name_command(installation, "python", "-c", code, "{var}/bot-alpha/holds.json")
    installation.back_up()
    in_use = installation.bot / "holds.json"
    text = in_use.read_text()
    in_use.write_text("changed since")
    (manifest,) = installation.manifests()
    assert installation.restore_test(manifest).restore_tested_at is not None
    assert seen.read_text().startswith(text)
    assert not seen.read_text().endswith(str(in_use))


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (("python", "-c", "import sys; sys.exit('no such table: orders')"), "no such table"),
        (("/no/such/program",), "No such file"),
    ],
)
def test_a_bot_that_does_not_start_fails_the_restore_test(
    installation: Installation, argv: tuple[str, ...], problem: str
) -> None:
    name_command(installation, *argv)
    installation.back_up()
    (manifest,) = installation.manifests()
    with pytest.raises(Damaged, match=f"alpha does not start.*{problem}"):
        installation.restore_test(manifest)


def test_a_relative_program_is_refused() -> None:
    """It would depend on the folder that the command happens to run in."""
    text = TARGETS.replace("    venue: paper\n", "    venue: paper\n    restore_test: [bot]\n", 1)
    with pytest.raises(ConfigError, match="absolute path"):
        parse_targets(text, where="targets.yml")

from pathlib import Path

import pytest

from trading_ops.config.loading import load_settings
from trading_ops.doctor.state import check_dead_man_switch


@pytest.mark.parametrize(("url", "warns"), [("", True), ("https://example.org/ping", False)])
def test_doctor_warns_while_no_one_outside_is_called(
    tmp_path: Path, url: str, *, warns: bool
) -> None:
    """It is not a failure, for everything works; but no one notices when the machine dies."""
    check = check_dead_man_switch(load_settings(tmp_path, {"TRADING_OPS_DEAD_MAN_SWITCH": url}))
    assert (check.ok, check.warning, bool(check.fix)) == (True, warns, warns)

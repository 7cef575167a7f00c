"""Doctor warns while other users of the host can use Prometheus and Alertmanager."""

from pathlib import Path

from trading_ops.config.loading import load_settings
from trading_ops.config.secret_files import write_secret
from trading_ops.doctor.state import check_monitoring_passwords


def test_doctor_warns_while_another_user_could_silence_everything(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    check = check_monitoring_passwords(settings, ["mallory"])
    assert (check.ok, check.warning, bool(check.fix)) == (True, True, True)
    assert "mallory" in check.detail
    alone = check_monitoring_passwords(settings, [])
    assert (alone.ok, alone.warning) == (True, False)


def test_both_servers_need_a_password(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    settings.secrets.mkdir(parents=True)
    write_secret(settings.secrets / "prometheus_password", "p")
    one = check_monitoring_passwords(settings, ["mallory"])
    assert one.warning
    assert "Alertmanager" in one.detail
    write_secret(settings.secrets / "alertmanager_password", "a")
    assert not check_monitoring_passwords(settings, ["mallory"]).warning

"""When certificates expire, from files and from what listeners show."""

from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from tests.free_ports import free_port
from tests.service.tls.certificates import HOST, issue
from trading_ops.bounded_site import BoundedSite
from trading_ops.clients.http import Http, session_of
from trading_ops.config.loading import load_settings
from trading_ops.listener import KnownListeners
from trading_ops.tls import authority
from trading_ops.tls.authority import issued
from trading_ops.tls.contexts import TlsFiles, serving
from trading_ops.tls.expiry import Certificates, expiries, expiry_of


@pytest.mark.parametrize("minutes", [-1, 1, 60 * 24 * 397, 60 * 24 * 3600])
def test_the_expiry_is_read_from_a_file(tmp_path: Path, minutes: int) -> None:
    """The CA of ten years ends after any of them."""
    issue(tmp_path, "alpha", lifetime=timedelta(minutes=minutes))
    expected = {
        certificate.name: certificate.expires_at.timestamp() for certificate in issued(tmp_path)
    }
    assert expiries(tmp_path) == expected


@pytest.mark.parametrize(
    "text", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n"]
)
def test_what_is_not_a_certificate_counts_as_expired(tmp_path: Path, text: str) -> None:
    (tmp_path / "alpha.crt").write_text(text)
    assert expiries(tmp_path) == {"alpha": 0.0}
    with pytest.raises(ValueError, match=r"."):
        expiry_of(text)


def test_a_year_after_2049_has_four_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "AUTHORITY_LIFETIME", timedelta(days=20_000))
    issue(tmp_path, "alpha", lifetime=timedelta(days=15_000))
    expected = {certificate.name: certificate.expires_at for certificate in issued(tmp_path)}
    assert all(expires_at.year > 2049 for expires_at in expected.values())
    assert expiries(tmp_path) == {
        name: expires_at.timestamp() for name, expires_at in expected.items()
    }


async def test_what_a_listener_shows_counts_before_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewed file that was not copied to its host ends no alert; an expired one is refused."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    issue(ours, "operator", calls=True)
    issue(ours, "alpha", lifetime=timedelta(days=2))
    theirs.mkdir()
    for name in ("ca.crt", "alpha.crt", "alpha.key"):
        (theirs / name).write_bytes((ours / name).read_bytes())
    shown = expiries(ours)["alpha"]
    issue(ours, "alpha", lifetime=timedelta(days=300))
    port = free_port()
    certificates = Certificates(ours, {f"{HOST}:{port}": "alpha"})
    assert certificates.known()["alpha"] > shown
    settings = load_settings(tmp_path, {"TRADING_OPS_TLS_FOLDER": str(ours)})
    runner = web.AppRunner(web.Application())
    await runner.setup()
    tls = serving(TlsFiles(theirs, "alpha"), every_client=True)
    site = BoundedSite(runner, HOST, port, tls=tls)
    try:
        await site.start()
        async with session_of(settings, on_certificate=certificates.shown) as session:
            http = Http(session, f"https://{HOST}:{port}", within=timedelta(seconds=30))
            assert (await http.ask("GET", "/")).status == 404
            assert certificates.known()["alpha"] == shown
            for name in ("alpha.crt", "alpha.key"):
                (theirs / name).write_bytes((ours / name).read_bytes())
            assert (await http.ask("GET", "/")).status == 404
            assert certificates.known()["alpha"] == shown  # a kept connection
            monkeypatch.setattr(KnownListeners, "secured_seconds", -1.0)
            assert (await http.ask("GET", "/")).status == 404
            assert certificates.known()["alpha"] == expiries(ours)["alpha"]
    finally:
        await runner.cleanup()

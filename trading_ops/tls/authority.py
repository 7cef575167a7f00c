"""A certificate authority and the certificates that it issues.

Needs `cryptography`; code that only uses certificates does not.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trading_ops import clock, durable
from trading_ops.errors import ConfigError
from trading_ops.tls.contexts import AUTHORITY, AUTHORITY_KEY, TlsFiles

AUTHORITY_LIFETIME = timedelta(days=3650)
BEFORE = timedelta(hours=1)
"""Backdates certificates, to tolerate clock skew between hosts."""


@dataclass(frozen=True)
class Wanted:
    """A certificate to issue."""

    name: str
    hosts: tuple[str, ...]
    """Host names and IP addresses of the process."""

    calls: bool
    """Whether it is valid as a client certificate; false for bots, so that a bot cannot command
    another."""


class Authority:
    """The CA in a folder."""

    def __init__(self, folder: Path) -> None:
        """Create the CA if the folder has none.

        Raises:
            ConfigError: the CA's files cannot be read, or one of the two is missing.
            OSError: the folder cannot be written.
        """
        self._folder = folder
        certificate, key = folder / AUTHORITY, folder / AUTHORITY_KEY
        if not certificate.exists() and not key.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _create(certificate, key)
        try:
            self._certificate = x509.load_pem_x509_certificate(certificate.read_bytes())
            loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            fix = f"put both {AUTHORITY} and {AUTHORITY_KEY} of `tls init` in this folder"
            raise ConfigError(str(folder), "", f"cannot load the CA ({error})", fix) from error
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ConfigError(str(key), "", "not an EC key", "use the key of `tls init`")
        self._key = loaded

    def issue(self, wanted: Wanted, lifetime: timedelta) -> None:
        """Write a new key and certificate, each atomically.

        Raises:
            OSError: the folder cannot be written.
        """
        files = TlsFiles(self._folder, wanted.name)
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH]
        if wanted.calls:
            usages.append(ExtendedKeyUsageOID.CLIENT_AUTH)
        end = min(clock.now() + lifetime, self._certificate.not_valid_after_utc)
        signed = (
            _builder(wanted.name, end)
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(_names(wanted)), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        durable.write(files.key, _pem(key), mode=0o600)
        durable.write(
            files.certificate, signed.public_bytes(serialization.Encoding.PEM), mode=0o644
        )


@dataclass(frozen=True)
class Issued:
    """A certificate in a folder."""

    name: str
    hosts: tuple[str, ...]
    expires_at: datetime
    calls: bool


def issued(folder: Path) -> list[Issued]:
    """Return the certificates of a folder, by name; the CA is `ca`.

    Raises:
        ConfigError: one of them is not a certificate.
    """
    found = []
    for path in sorted(folder.glob("*.crt")):
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(str(path), "", str(error), "correct or remove the file") from error
        found.append(
            Issued(
                path.stem,
                _hosts(certificate),
                certificate.not_valid_after_utc,
                _may_call(certificate),
            )
        )
    return found


def _hosts(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = names.get_values_for_type(x509.IPAddress)
    return (*names.get_values_for_type(x509.DNSName), *(str(address) for address in addresses))


def _may_call(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages


def _create(certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    builder = _builder("trading-ops CA", clock.now() + AUTHORITY_LIFETIME)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    signed = (
        builder.issuer_name(_subject("trading-ops CA"))
        .public_key(private.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False
        )
        .sign(private, hashes.SHA256())
    )
    durable.write(key, _pem(private), mode=0o600)
    durable.write(certificate, signed.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _builder(name: str, end: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(name))
        .serial_number(x509.random_serial_number())
        .not_valid_before(clock.now() - BEFORE)
        .not_valid_after(end)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _names(wanted: Wanted) -> Iterable[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for host in dict.fromkeys((wanted.name, *wanted.hosts)):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            found.append(x509.DNSName(host))
    return found


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )

"""Expiry of certificates: those in our folder, and those that peers present.

The standard library cannot read the expiry from a file, and `cryptography` would cost the
reconciler about 10 MB of memory.
"""

import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

SEQUENCE, CONTEXT_0 = 0x30, 0xA0
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
LONG_LENGTH = 0x80
FIELDS_TO_VALIDITY = 3
"""Number of fields before the validity: serial number, signature algorithm, issuer."""

OnCertificate = Callable[[str, float], None]
"""Called with the `host:port` of a listener and the expiry of its certificate (Unix seconds)."""


def expiry_of(pem: str) -> float:
    """Return the expiry of the first certificate of a file, in Unix seconds.

    Raises:
        ValueError: the file is not a certificate.
    """
    end = "-----END CERTIFICATE-----"
    first, found, _ = pem.partition(end)
    try:
        der = ssl.PEM_cert_to_DER_cert(first[first.index("-----BEGIN") :] + found)
        (_, certificate), *_ = _elements(der)
        (_, signed), *_ = _elements(certificate)
        fields = [element for element in _elements(signed) if element[0] != CONTEXT_0]
        _, (kind, text) = _elements(fields[FIELDS_TO_VALIDITY][1])
    except IndexError as error:
        raise ValueError("not a certificate") from error
    if kind not in {UTC_TIME, GENERALIZED_TIME}:
        raise ValueError("invalid validity")
    form = "%y%m%d%H%M%SZ" if kind == UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC).timestamp()


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of DER elements."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length >= LONG_LENGTH:
            size = length - LONG_LENGTH
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        yield tag, data[at : at + length]
        at += length


def expiries(folder: Path) -> dict[str, float]:
    """Return the expiry of each certificate in a folder, by name; 0 for an invalid file."""
    found = {}
    for path in sorted(folder.glob("*.crt")):
        try:
            found[path.stem] = expiry_of(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            found[path.stem] = 0.0
    return found


class Certificates:
    """Expiry of known certificates: one presented by a listener overrides its file."""

    def __init__(self, folder: Path, names: Mapping[str, str]) -> None:
        """Set the certificate folder, and target names by `host:port`."""
        self._folder = folder
        self._names = names
        self._shown: dict[str, float] = {}

    def shown(self, address: str, expiry: float) -> None:
        """Record the certificate that a listener presented."""
        if name := self._names.get(address):
            self._shown[name] = expiry

    def known(self) -> dict[str, float]:
        """Return the expiry of each certificate, by name."""
        return expiries(self._folder) | self._shown

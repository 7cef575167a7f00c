"""When certificates expire: those in our folder, and those that others show to us.

The standard library reads no expiry from a file, and `cryptography` would cost the reconciler some
ten megabytes.
"""

import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

SEQUENCE, CONTEXT_0 = 0x30, 0xA0
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
LONG_LENGTH = 0x80
FIELDS_TO_VALIDITY = 3
"""Serial number, signature algorithm and issuer stand before the validity."""

OnCertificate = Callable[[str, float], None]
"""Takes the `host:port` of a listener and the expiry of its certificate (seconds of the epoch)."""


def expiry_of(pem: str) -> float:
    """Return the expiry of the first certificate of a file, as seconds of the epoch.

    Raises:
        ValueError: it is not a certificate.
    """
    end = "-----END CERTIFICATE-----"
    first, found, _ = pem.partition(end)
    try:
        der = ssl.PEM_cert_to_DER_cert(first[first.index("-----BEGIN") :] + found)
        (_, certificate), *_ = _elements(der)
        (_, signed), *_ = _elements(certificate)
        fields = [one for one in _elements(signed) if one[0] != CONTEXT_0]
        _, (kind, text) = _elements(fields[FIELDS_TO_VALIDITY][1])
    except IndexError as error:
        raise ValueError("it is not a certificate") from error
    if kind not in {UTC_TIME, GENERALIZED_TIME}:
        raise ValueError("its validity is not a time")
    form = "%y%m%d%H%M%SZ" if kind == UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC).timestamp()


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of the DER elements in some bytes."""
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
    """Return the expiry of each certificate in a folder, by its name; 0 for what is not one."""
    found = {}
    for path in sorted(folder.glob("*.crt")):
        try:
            found[path.stem] = expiry_of(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            found[path.stem] = 0.0
    return found


class Certificates:
    """What is known of certificates: what a listener shows counts before a file of its name."""

    def __init__(self, folder: Path, names: Mapping[str, str]) -> None:
        """Take our folder, and the names of targets by `host:port`."""
        self._folder = folder
        self._names = names
        self._shown: dict[str, float] = {}

    def shown(self, address: str, expiry: float) -> None:
        """Note what a listener has shown."""
        if name := self._names.get(address):
            self._shown[name] = expiry

    def known(self) -> dict[str, float]:
        """Return the expiry of each, by name."""
        return expiries(self._folder) | self._shown

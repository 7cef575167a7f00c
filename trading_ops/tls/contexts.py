"""SSL contexts that reload their files: a renewed certificate is used from the next connection.

A process has three files in its TLS folder: `ca.crt`, the CAs that it trusts, and `NAME.crt` and
`NAME.key`, its own certificate. `trading-ops tls init` writes them; your own files work too.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from trading_ops import clock
from trading_ops.errors import ConfigError
from trading_ops.tls.expiry import expiry_of

AUTHORITY = "ca.crt"
AUTHORITY_KEY = "ca.key"
SEE = "run `trading-ops tls init` or `trading-ops tls renew NAME`, or see docs/security.md, “TLS”"

Contexts = Callable[[], ssl.SSLContext]
"""Returns the context for the next connection."""


@dataclass(frozen=True)
class TlsFiles:
    """The files of one process."""

    folder: Path
    name: str
    """Name of the process's target, or `operator` for the command line."""

    @property
    def authority(self) -> Path:
        """Return the file with trusted CA certificates."""
        return self.folder / AUTHORITY

    @property
    def certificate(self) -> Path:
        """Return the file with the process's certificate chain."""
        return self.folder / f"{self.name}.crt"

    @property
    def key(self) -> Path:
        """Return the file with the private key."""
        return self.folder / f"{self.name}.key"


class Following:
    """Builds a context from files, and rebuilds it when one of them changes.

    While the files do not match, such as a new certificate whose key is not written yet, the last
    valid context stays in use.
    """

    def __init__(self, files: tuple[Path, ...], build: Callable[[], ssl.SSLContext]) -> None:
        self._files = files
        self._build = build
        self._seen: tuple[object, ...] = ()
        self._context: ssl.SSLContext | None = None

    def __call__(self) -> ssl.SSLContext:
        """Return the context for the next connection.

        Raises:
            ConfigError: no valid context was ever built.
        """
        seen = tuple(_mark(path) for path in self._files)
        if self._context is None or seen != self._seen:
            try:
                self._context = self._build()
                self._seen = seen
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                if self._context is None:
                    raise ConfigError(*self._complaint(error)) from error
        return self._context

    def _complaint(self, error: Exception) -> tuple[str, str, str, str]:
        missing = next((path for path in self._files if not path.exists()), None)
        if missing is not None:
            return str(missing), "", "the file is missing", SEE
        if isinstance(error, PermissionError):
            return str(self._files[-1].parent), "", "this user cannot read its files", "see chown"
        problem = getattr(error, "reason", None) or str(error) or "unreadable"
        where = ", ".join(str(path) for path in self._files)
        return where, "", f"cannot be used for TLS: {problem}", SEE


def serving(files: TlsFiles, *, every_client: bool) -> Contexts:
    """Return the contexts of a server.

    Args:
        files: the CA, certificate and key.

        every_client: whether to refuse clients without a certificate.
    """

    def build() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(files.certificate, files.key, password="")
        context.load_verify_locations(files.authority)
        context.verify_mode = ssl.CERT_REQUIRED if every_client else ssl.CERT_OPTIONAL
        return context

    return Following((files.authority, files.certificate, files.key), build)


def calling(files: TlsFiles | None, *, authority: Path | None = None) -> Contexts:
    """Return the contexts of a client, with a client certificate if it has one.

    Args:
        files: the CA, certificate and key; None: no client certificate.
        authority: CA to trust instead of that of `files`. Without both, the system's CAs.
    """
    trusted = authority
    if trusted is None and files is not None and files.authority.exists():
        trusted = files.authority

    def build() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if trusted is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(trusted)
        if files is not None and files.certificate.exists():
            _refuse_expired(files.certificate)
            context.load_cert_chain(files.certificate, files.key, password="")
        return context

    watched = [trusted] if trusted else []
    if files is not None:
        watched += [files.certificate, files.key]
    return Following(tuple(watched), build)


def _refuse_expired(certificate: Path) -> None:
    """Refuse an expired certificate: the other side would close the connection without a reason."""
    expiry = expiry_of(certificate.read_text(encoding="ascii"))
    if expiry <= clock.timestamp():
        at = datetime.fromtimestamp(expiry, UTC)
        raise ValueError(f"{certificate.name} expired on {at:%Y-%m-%d %H:%M} UTC")


def _mark(path: Path) -> tuple[int, ...] | None:
    """Return a value that changes when a file is written or replaced."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns

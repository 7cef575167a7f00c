"""Who may call: API-Key, API-Sign and the nonce, checked as Kraken does.

API-Sign is the base64 of HMAC-SHA512, keyed with the decoded secret, over the path followed by
SHA-256(nonce + body). A nonce counts as used once the signature was right, whatever becomes of
the request.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

import msgspec

from trading_ops.paper.venue.errors import VenueRefusal

NONCE_LIMIT: Final = 2**64


class ApiKey(msgspec.Struct, frozen=True):
    """A key, its decoded secret, and the account it acts for."""

    key: str
    secret: bytes
    account: str


def decode_secret(text: str) -> bytes:
    """Return the bytes of a base64 secret.

    Raises:
        ValueError: it is no base64.
    """
    return base64.b64decode(text, validate=True)


def sign(secret: bytes, path: str, nonce: str, body: bytes) -> str:
    """Return the API-Sign of a request; `path` starts with /0/private/."""
    digest = hashlib.sha256(nonce.encode() + body).digest()
    return base64.b64encode(hmac.digest(secret, path.encode() + digest, "sha512")).decode()


class Keyring:
    """All keys, and the highest nonce that each has used."""

    def __init__(self, keys: list[ApiKey], nonces: Mapping[str, int]) -> None:
        """Continue after the stored nonces."""
        self._keys = {key.key: key for key in keys}
        self.nonces = dict(nonces)

    def admit(self, headers: Mapping[str, str], path: str, nonce: str, body: bytes) -> ApiKey:
        """Check one request and use up its nonce.

        Args:
            headers: with API-Key and API-Sign.
            path: of the URL, without a query.
            nonce: the field `nonce` of the body, as it was sent.
            body: the bytes that were signed.

        Raises:
            VenueRefusal: EAPI:Invalid key, EAPI:Invalid signature or EAPI:Invalid nonce.
        """
        key = self._keys.get(headers.get("API-Key", ""))
        if key is None:
            raise VenueRefusal("EAPI:Invalid key")
        expected = sign(key.secret, path, nonce, body)
        # As aiohttp decoded it: a header may hold bytes that are no text.
        given = headers.get("API-Sign", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(expected.encode(), given):
            raise VenueRefusal("EAPI:Invalid signature")
        number = _number(nonce)
        if number <= self.nonces.get(key.key, -1):
            raise VenueRefusal("EAPI:Invalid nonce")
        self.nonces[key.key] = number
        return key


def _number(nonce: str) -> int:
    """Read an unsigned 64-bit number; return -1 for anything else."""
    if not (nonce.isascii() and nonce.isdigit() and len(nonce) <= len(str(NONCE_LIMIT))):
        return -1
    number = int(nonce)
    return number if number < NONCE_LIMIT else -1

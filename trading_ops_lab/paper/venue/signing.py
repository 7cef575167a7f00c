"""Authentication: API-Key, API-Sign and the nonce, checked like Kraken.

API-Sign is the base64 of HMAC-SHA512, keyed with the decoded secret, over the path followed by
SHA-256(nonce + body). A nonce is used once the signature is valid, whatever the result of the
request.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

import msgspec

from trading_ops_lab.paper.venue.errors import VenueRefusal

NONCE_LIMIT: Final = 2**64


class ApiKey(msgspec.Struct, frozen=True):
    """A key, its decoded secret, and the account it acts for."""

    key: str
    secret: bytes
    account: str
    name: str = ""
    """Its display name."""


def decode_secret(text: str) -> bytes:
    """Return the bytes of a base64 secret.

    Raises:
        ValueError: it is not base64.
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

    def find(self, headers: Mapping[str, str]) -> ApiKey | None:
        """Return the key that a request names, without authentication."""
        return self._keys.get(headers.get("API-Key", ""))

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
        key = self.find(headers)
        if key is None:
            raise VenueRefusal("EAPI:Invalid key")
        expected = sign(key.secret, path, nonce, body)
        # As aiohttp decoded it: a header may contain bytes that are not text.
        given = headers.get("API-Sign", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(expected.encode(), given):
            raise VenueRefusal("EAPI:Invalid signature")
        self._use(key, _number(nonce))
        return key

    def _use(self, key: ApiKey, number: int) -> None:
        if number <= self.nonces.get(key.key, -1):
            raise VenueRefusal("EAPI:Invalid nonce")
        self.nonces[key.key] = number


def _number(nonce: str) -> int:
    """Read an unsigned 64-bit number; return -1 for anything else."""
    if not (nonce.isascii() and nonce.isdigit() and len(nonce) <= len(str(NONCE_LIMIT))):
        return -1
    number = int(nonce)
    return number if number < NONCE_LIMIT else -1

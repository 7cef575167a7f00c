"""Kraken's response format, with limits: the exporter does not trust what a venue sends."""

from typing import Any

import aiohttp

from trading_ops.errors import ClientError

LARGEST_ANSWER_BYTES = 64 * 1024


async def read_whole(content: aiohttp.StreamReader) -> bytes:
    """Read a whole response body.

    Raises:
        ClientError: it is too long.
    """
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > LARGEST_ANSWER_BYTES:
            raise ClientError(f"the answer is longer than {LARGEST_ANSWER_BYTES} bytes")
    return bytes(body)


def result_of(body: object) -> dict[str, Any]:
    """Return the result of a response in Kraken's format.

    Raises:
        ClientError: it has another format, or contains an error.
    """
    if not isinstance(body, dict) or body.get("error") != []:
        raise ClientError(f"unexpected response: {str(body)[:200]}")
    result = body.get("result")
    if not isinstance(result, dict):
        raise ClientError("the answer has no result")
    return result

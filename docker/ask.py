# ruff: noqa: INP001 - a script of its own, in an image of its own
"""A health check of a container: exits with 0 when the process in it answers, else with 1.

ask.py http://HOST:PORT/PATH [FILE]    200 within two seconds; FILE has the token to show
ask.py smtp://HOST:PORT                a mail server's greeting
"""

import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

SECONDS = 2.0


def answers(url: str, token_file: str | None) -> bool:
    """Say whether the process is there and well."""
    parts = urlsplit(url)
    if parts.scheme == "smtp":
        with socket.create_connection((parts.hostname, parts.port), SECONDS) as connection:
            return connection.recv(4) == b"220 "
    headers = {}
    if token_file:
        token = Path(token_file).read_text(encoding="ascii").partition("\n")[0].strip()
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - of the compose file
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        return bool(answer.status == 200)  # noqa: PLR2004


if __name__ == "__main__":
    try:
        sys.exit(not answers(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))  # noqa: PLR2004
    except (OSError, ValueError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")

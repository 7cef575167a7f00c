"""The channels' URLs, in one secret file with `NAME URL` per line."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from trading_ops.config.secret_files import refuse_exposed
from trading_ops.errors import ConfigError
from trading_ops.redaction import REDACTED, known, redact

FILE = "notify_urls"
SHORTEST = 4
"""Minimum length of a URL part that is redacted from error messages."""

HOSTS = frozenset({"mailto", "http", "json", "form", "xml", "ntfy", "gotify"})
"""Schemes, without the `s` for TLS, whose host is really a host; in others it may be a token."""

_LINE = re.compile(r"([a-z][a-z0-9_-]{0,39})\s*[:=]?\s+(\S+)")


@dataclass(frozen=True, repr=False)
class Channel:
    """One channel: its name and its secret Apprise URL."""

    name: str
    url: str

    def redact(self, text: str) -> str:
        """Redact all parts of the URL except its scheme and host from a text."""
        for part in sorted(_parts(self.url), key=len, reverse=True):
            text = text.replace(part, REDACTED)
        return redact(text)


def load_channels(path: Path) -> dict[str, Channel]:
    """Read the channels; a missing file means no channels.

    Raises:
        ConfigError: it cannot be read, other users can read it, or a line is invalid. The line
            is not repeated.
    """
    fix = f"write NAME URL on each line of {path}, mode 0600"
    try:
        refuse_exposed(path)
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeError) as error:
        problem = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(str(path), "", problem.lower(), fix) from error
    found: dict[str, Channel] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None or "://" not in match[2]:
            raise ConfigError(str(path), f"line {number}", "invalid line", fix)
        if match[1] in found:
            raise ConfigError(str(path), f"line {number}", f"{match[1]} is listed twice", fix)
        found[match[1]] = Channel(match[1], known(match[2]))
    return found


def _parts(url: str) -> set[str]:
    """Return the secret parts of a URL: user, password, tokens, addresses."""
    split = urlsplit(url)
    user, _, host = split.netloc.rpartition("@")
    is_host = split.scheme.rstrip("s") in HOSTS
    places = [*user.split(":"), *split.path.split("/"), *("" if is_host else host).split(":")]
    values = [value for _, value in parse_qsl(split.query)]
    plain = {url, split.query, *places, *values, *(unquote(place) for place in places)}
    found = plain | {quote(part, safe="") for part in plain}
    return {part for part in found if len(part) >= SHORTEST}

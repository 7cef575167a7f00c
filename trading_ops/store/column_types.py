"""Text from outside, in a form that every database can store.

Labels, names and reasons come from other systems. PostgreSQL text cannot contain NUL, and UTF-8
cannot encode half of a surrogate pair; both are legal in JSON. One such character must not prevent
a notification from being stored, so these characters are replaced, in every column.
"""

from typing import Any

from sqlalchemy import JSON, Dialect, Text, TypeDecorator

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def storable(text: str) -> str:
    """Return the text with what no database stores replaced; the same object when it is clean."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", REPLACEMENT)


class Words(TypeDecorator[str]):
    """A text of any length."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace what cannot be stored; in comparisons too, so that what was stored is found."""
        del dialect
        return None if value is None else storable(value)


class Facts(TypeDecorator[Any]):
    """A mapping, or what else JSON can say."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> Any | None:
        """Replace what cannot be stored in every text of it."""
        del dialect
        return _storable(value)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {_storable(key): _storable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(one) for one in value]
    return value

"""A minimal PromQL parser that finds the series selectors of an expression."""

import re

_STRING = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`'
_TOKEN = re.compile(
    rf"""
      (?P<skip> \s+ | \#[^\n]* )
    | (?P<labels> \b(?:by|without|on|ignoring|group_left|group_right)\b \s* (?:\([^)]*\))? )
    | (?P<range> \[[^\]]*\] )
    | (?P<series>
          [a-zA-Z_:][\w:]* (?: \s* \{{ (?: {_STRING} | [^}}"'`] )* \}} )?
        | \{{ (?: {_STRING} | [^}}"'`] )* \}}
      )
    | (?P<string> {_STRING} )
    | (?P<number> [0-9][\w.]* | \.[0-9]\w* )
    | (?P<other> . )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CALL = re.compile(r"\s*(?:\(|(?:by|without)\b)", re.IGNORECASE)
_WORDS = frozenset({"and", "or", "unless", "atan2", "bool", "offset", "inf", "nan", "start", "end"})


def selectors(query: str) -> tuple[str, ...]:
    """Return the vector selectors of an expression, each once, without range and modifiers."""
    found = []
    for match in _TOKEN.finditer(query):
        text = match["series"]
        if text is None or text.lower() in _WORDS:
            continue
        if not _CALL.match(query, match.end()) or "{" in text:
            found.append(text)
    return tuple(dict.fromkeys(found))


def age_of(query: str) -> str:
    """Return a query for the age of an expression's input.

    It returns one sample per selector with series: the age of the oldest of their newest samples,
    in seconds, by the clock of Prometheus.
    """
    ages = (
        f'label_replace(max(time() - timestamp({one})), "selector", "{index}", "", "")'
        for index, one in enumerate(selectors(query))
    )
    return " or ".join(ages)

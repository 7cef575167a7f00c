"""Prints trading sessions as JSON; arguments: FROM UNTIL CALENDAR... Runs in a separate process."""

import sys
from datetime import UTC, datetime

import msgspec

FIX = "install trading-ops[calendars]"


def table(since: str, until: str, names: list[str]) -> dict[str, list[tuple[datetime, datetime]]]:
    """Return the sessions of each calendar, including half days.

    Args:
        since: the first day, YYYY-MM-DD.
        until: the last day; a calendar that ends earlier returns fewer sessions.
        names: of calendars, such as `XNYS`.

    Raises:
        ImportError: exchange_calendars is not installed.
        ValueError: unknown calendar.
    """
    import exchange_calendars  # noqa: PLC0415 - the extra may be missing, which is reported
    from exchange_calendars.errors import CalendarError  # noqa: PLC0415

    found = {}
    for name in names:
        try:
            calendar = exchange_calendars.get_calendar(name, start=since)
        except CalendarError as error:
            raise ValueError(str(error)) from error
        last = min(until, f"{calendar.last_session:%Y-%m-%d}")
        days = calendar.schedule.loc[since:last]
        found[name] = [
            (_utc(opens), _utc(closes))
            for opens, closes in zip(days["open"], days["close"], strict=True)
        ]
    return found


def _utc(at: datetime) -> datetime:
    return datetime.fromtimestamp(at.timestamp(), UTC)


def main() -> None:
    """Print the table, or one line with the reason of the failure."""
    since, until, *names = sys.argv[1:]
    try:
        found = table(since, until, names)
    except ImportError:
        sys.exit(f"trading sessions need exchange_calendars: {FIX}")
    except ValueError as error:
        sys.exit(f"jobs.yml: no sessions of {', '.join(names)}: {error}")
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()

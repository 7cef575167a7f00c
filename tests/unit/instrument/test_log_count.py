"""The log is counted as it is written: by level, in bytes, anyone who logs."""

import contextlib
import io
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from trading_ops import logs
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.log_count import LogCount, count_log, level_of


@pytest.fixture
def metrics() -> BotMetrics:
    return BotMetrics(version="1", mode="paper")


@contextlib.contextmanager
def root(*handlers: logging.Handler) -> Iterator[logging.Logger]:
    """The root logger with these handlers alone, pytest's own not among them; then as it was."""
    logger = logging.getLogger()
    kept, level = logger.handlers[:], logger.level
    logger.handlers[:] = handlers
    logger.setLevel(logging.DEBUG)
    try:
        yield logger
    finally:
        logger.handlers[:] = kept
        logger.setLevel(level)


def counted(metrics: BotMetrics, level: str) -> tuple[float | None, float | None]:
    return (
        metrics.registry.get_sample_value("trading_log_messages_total", {"level": level}),
        metrics.registry.get_sample_value("trading_log_bytes_total", {"level": level}),
    )


class Written:
    """A logger of its own, with a handler that writes to a text."""

    def __init__(self, *, level: int = logging.DEBUG) -> None:
        self._text = io.StringIO()
        self.handler = logging.StreamHandler(self._text)
        self.handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self.logger = logging.Logger("a.bot", level)  # noqa: LOG001 - no one else has it
        self.logger.addHandler(self.handler)

    @property
    def text(self) -> str:
        return self._text.getvalue()


def test_bytes_are_those_that_are_written(metrics: BotMetrics) -> None:
    """With the time before it, an umlaut in it, and a traceback after it."""
    written = Written()
    count_log(metrics, written.handler)
    written.logger.warning("für %s", "BTC/USD")
    first = len(written.text.encode())
    assert counted(metrics, "warning") == (1, first)
    written.logger.error("failed", exc_info=RuntimeError("broken"))
    assert "RuntimeError: broken" in written.text
    assert counted(metrics, "error") == (1, len(written.text.encode()) - first)
    assert counted(metrics, "critical") == (0, 0)


def test_what_is_not_written_is_not_counted(metrics: BotMetrics) -> None:
    """A level that is switched off costs no byte."""
    written = Written(level=logging.WARNING)
    count_log(metrics, written.handler)
    written.logger.info("not of interest")
    assert counted(metrics, "info") == (0, 0)


def test_the_roots_first_handler_is_the_log(metrics: BotMetrics) -> None:
    """Of two that write the same, one is counted."""
    first, second = Written(), Written()
    with root(first.handler, second.handler):
        count_log(metrics)
        logging.getLogger("a.bot").info("one")
    assert first.text == second.text != ""
    assert counted(metrics, "info") == (1, len(first.text))


def test_structured_logs_are_counted(
    metrics: BotMetrics, capsys: pytest.CaptureFixture[str]
) -> None:
    """Our own set-up goes over logging: its JSON is what is counted."""
    with root():
        logs.configure("bot-test")
        count_log(metrics)
        logs.get("a.bot").info("order_filled", symbol="BTC/USD")
    structlog.reset_defaults()
    written = capsys.readouterr().err
    assert "order_filled" in written
    assert counted(metrics, "info") == (1, len(written.encode()))


def test_counting_twice_counts_once(metrics: BotMetrics) -> None:
    """The second call for a handler takes the place of the first."""
    written = Written()
    count_log(metrics, written.handler)
    count_log(metrics, written.handler)
    written.logger.info("one")
    assert counted(metrics, "info")[0] == 1


def test_a_log_that_is_not_set_up_is_reported(metrics: BotMetrics) -> None:
    """Nothing would ever be counted: anyone who wrote it should know."""
    with root(), pytest.raises(ValueError, match="set up logging before"):
        count_log(metrics)


def test_a_broken_count_costs_no_message() -> None:
    """The message is written, whatever the metrics do."""

    class Broken(BotMetrics):
        def log_message(self, level: str, size: int) -> None:
            raise RuntimeError("broken")

    written = Written()
    count_log(Broken(version="1", mode="paper"), written.handler)
    written.logger.info("still here")
    assert "still here" in written.text


def test_a_text_that_cannot_be_encoded_is_counted(metrics: BotMetrics) -> None:
    """Half a surrogate pair comes out of JSON."""
    record = logging.LogRecord("a.bot", logging.INFO, "", 0, "\ud800!", None, None)
    assert LogCount(metrics).format(record) == "\ud800!"
    assert counted(metrics, "info") == (1, 3)


@pytest.mark.parametrize(
    ("number", "level"),
    [
        *((0, "debug"), (5, "debug"), (10, "debug"), (20, "info"), (25, "info"), (30, "warning")),
        *((40, "error"), (49, "error"), (50, "critical"), (99, "critical")),
    ],
)
def test_every_number_is_a_level(number: int, level: str) -> None:
    """Libraries have levels of their own."""
    assert level_of(number) == level


def test_no_message_of_several_threads_is_lost(metrics: BotMetrics) -> None:
    """Formatters run in the thread that logs."""
    count = LogCount(metrics)
    record = logging.LogRecord("a.bot", logging.INFO, "", 0, "x", None, None)

    def log() -> None:
        for _ in range(2000):
            count.format(record)

    threads = [threading.Thread(target=log) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted(metrics, "info") == (8000, 16000)


def test_lines_that_were_not_written_are_counted(metrics: BotMetrics) -> None:
    """The handler tells how many, from whichever thread it drops them in."""
    metrics.log_lines_dropped(1)
    metrics.log_lines_dropped(40)
    assert metrics.registry.get_sample_value("trading_log_lines_dropped_total") == 41

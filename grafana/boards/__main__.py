"""`python -m grafana.boards`: write or check the boards, and run their queries on a Prometheus.

python -m grafana.boards                      write grafana/dashboards
python -m grafana.boards --check              write nothing, fail on a difference
python -m grafana.boards --check --prometheus http://127.0.0.1:9090
                                              and fail on a panel that shows nothing
"""

import argparse
import sys
from pathlib import Path

from grafana.boards import proof
from grafana.boards.queries import DASHBOARDS, board_queries, load_boards
from grafana.boards.running import running_prometheus
from grafana.boards.writing import differences, write_boards
from trading_ops import clock


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = _parser().parse_args(arguments)
    if not options.check:
        write_boards(options.folder)
    elif different := differences(options.folder):
        _complain(
            f"{options.folder}: not as the source makes them: {', '.join(different)}. "
            "Fix: python -m grafana.boards"
        )
        return 1
    else:
        _say(f"{len(load_boards(options.folder))} boards regenerated: no difference")
    url = options.prometheus or (running_prometheus() if options.running else None)
    if url:
        return _ask(options.folder, url.rstrip("/"), options.minutes)
    if options.running:
        _say("No stack runs here, so no query was asked: make up, or name a Prometheus")
    return 0


def _ask(folder: Path, url: str, minutes: float) -> int:
    queries = board_queries(folder)
    try:
        answers = proof.ask_all(url, queries, end=clock.timestamp(), seconds=60 * minutes)
    except OSError as error:
        _complain(f"{url} does not answer: {error}. Fix: start the stack (make up)")
        return 1
    _say(proof.table(answers, proof.count_panels(load_boards(folder))))
    missing = [answer for answer in answers if answer.missing]
    for answer in missing:
        _complain(f"empty: {answer}")
    return 1 if missing else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m grafana.boards", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", nargs="?", type=Path, default=DASHBOARDS)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--prometheus", metavar="URL", help="put every query to it")
    where.add_argument("--running", action="store_true", help="to that of `make up`, if it runs")
    parser.add_argument(
        "--minutes", type=float, default=60, help="how far back the queries look (default: 60)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Run a local broker: `python -m trading_ops_lab.brokers {alpaca,ib} --help`.

It serves until SIGTERM or SIGINT.
"""

import argparse
import asyncio
import signal
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

from aiohttp import web

from trading_ops import logs
from trading_ops_lab.brokers.account import Account
from trading_ops_lab.brokers.alpaca import AlpacaServer
from trading_ops_lab.brokers.faults import Board, fault_port
from trading_ops_lab.brokers.tws import TwsServer

PRICES = {"AAPL": Decimal(190), "MSFT": Decimal(410)}
CASH = Decimal(100_000)
HOST = "127.0.0.1"

log = logs.get(__name__)


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(
        prog="trading_ops_lab.brokers", description="A local broker with one paper account."
    )
    parser.add_argument("protocol", choices=["alpaca", "ib"])
    parser.add_argument("--port", type=int, required=True, help="of the broker's API")
    parser.add_argument("--faults-port", type=int, required=True, help="of the fault port")
    parser.add_argument(
        "--secrets",
        type=Path,
        required=True,
        help="folder of faults_token and, for alpaca, broker_key",
    )
    options = parser.parse_args()
    logs.configure("broker")
    asyncio.run(serve(options.protocol, options.port, options.faults_port, options.secrets))


async def serve(protocol: str, port: int, faults: int, secrets: Path) -> None:
    """Serve a new account until a signal."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    board = Board()
    token = (secrets / "faults_token").read_text(encoding="utf-8").strip()
    async with AsyncExitStack() as stack:
        account = Account(PRICES, cash=CASH)
        if protocol == "ib":
            tws = TwsServer(account, board)
            await tws.start(HOST, port)
            stack.push_async_callback(tws.stop)
        else:
            key = (secrets / "broker_key").read_text(encoding="utf-8").strip()
            server = AlpacaServer(account, board, key=key, secret=key)
            await _listen(server.build(), port, stack)
        await _listen(fault_port(board, token), faults, stack)
        log.info("broker_started", protocol=protocol, port=port)
        await stopped.wait()


async def _listen(application: web.Application, port: int, stack: AsyncExitStack) -> None:
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, HOST, port).start()


if __name__ == "__main__":
    main()

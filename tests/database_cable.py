"""A cable to a PostgreSQL server that a test can cut at the worst moment: between a COMMIT and its
answer."""

import contextlib
import socket
import threading
from typing import Self

from tests.free_ports import free_port


class Cable:
    """Forwards to a port of 127.0.0.1. When `cut_after` is set it hands on the first packet that
    starts so, waits for the server's answer, and hangs up instead of handing that on."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.port = free_port()
        self.cut_after: bytes | None = None
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._open: list[socket.socket] = [self._listener]
        self._cut: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._open:
            _hang_up(end)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open += [near, far]
                for carry in (self._there, self._back):
                    threading.Thread(target=carry, args=(near, far), daemon=True).start()

    def _there(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                if self.cut_after is not None and self.cut_after in data:
                    self.cut_after = None
                    self.cuts += 1
                    self._cut.add(near)
                    far.sendall(data)
                    return
                far.sendall(data)
        _hang_up(far)

    def _back(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (data := far.recv(65536)) and near not in self._cut:
                near.sendall(data)
        _hang_up(near)
        _hang_up(far)


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()

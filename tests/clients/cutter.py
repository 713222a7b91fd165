"""A proxy that cuts connections after so many bytes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading


class Cutter:
    """Passes bytes on to `port`; each of the first connections is reset after its number of bytes."""

    def __init__(self, port: int, after: list[int]) -> None:
        self.port = port
        self.left = after
        self.cuts = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        limit = self.left.pop(0) if self.left else None
        try:
            service = socket.create_connection(("127.0.0.1", self.port))
        except OSError:
            client.close()
            return
        threading.Thread(target=self._pass, args=(client, service), daemon=True).start()
        with contextlib.suppress(OSError), client, service:
            while chunk := service.recv(4096):
                if limit is not None and len(chunk) >= limit:
                    client.sendall(chunk[:limit])
                    # A reset instead of an end in order.
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    # The other thread lets go of the socket, which is closed only then.
                    client.shutdown(socket.SHUT_RD)
                    self.cuts += 1
                    return
                limit = None if limit is None else limit - len(chunk)
                client.sendall(chunk)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(4096):
                target.sendall(chunk)
            target.shutdown(socket.SHUT_RDWR)

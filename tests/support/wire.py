"""Stand between a client and its server, pass everything on, and note what went which way."""

import copy
import selectors
import socket
import threading
from dataclasses import dataclass, field
from typing import Literal

from tests.support.database import Database
from tests.support.ports import clients_of

Side = Literal["client", "server"]
CHUNK = 64 * 1024


@dataclass
class Conversation:
    """One connection: what each side sent, in turns, each as long as the other side was silent."""

    turns: list[tuple[Side, bytes]] = field(default_factory=list)

    def add(self, side: Side, data: bytes) -> None:
        """Take down what one side has sent."""
        if self.turns and self.turns[-1][0] == side:
            self.turns[-1] = (side, self.turns[-1][1] + data)
        else:
            self.turns.append((side, data))

    def sent_by(self, side: Side) -> bytes:
        return b"".join(data for whose, data in self.turns if whose == side)

    @property
    def round_trips(self) -> int:
        """How often the client waited for the network: to connect, then each time the server's turn was its answer."""
        return 1 + sum(
            side == "client" and after == "server"
            for (side, _), (after, _) in zip(self.turns, self.turns[1:], strict=False)
        )


class Wire:
    """A context manager that listens on a free port of loopback and leads to the server, encrypted or not."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.port: int = self._listener.getsockname()[1]
        self.conversations: list[Conversation] = []

    def __enter__(self) -> "Wire":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def in_front_of(self, database: Database) -> Database:
        """Return the same database, as it is reached through here."""
        server = copy.copy(database.server)
        server.port = self.port
        return database.seen_from(server)

    def _accept(self) -> None:
        for client in clients_of(self._listener):
            conversation = Conversation()
            self.conversations.append(conversation)
            server = socket.create_connection(self._server)
            self._threads.append(threading.Thread(target=_pass_on, args=(client, server, conversation), daemon=True))
            self._threads[-1].start()


def _pass_on(client: socket.socket, server: socket.socket, conversation: Conversation) -> None:
    ways: dict[Side, tuple[socket.socket, socket.socket]] = {"client": (client, server), "server": (server, client)}
    with selectors.DefaultSelector() as selector, client, server:
        for side, (source, _) in ways.items():
            selector.register(source, selectors.EVENT_READ, side)
        try:
            while True:
                for key, _ in selector.select():
                    source, sink = ways[key.data]
                    data = source.recv(CHUNK)
                    if not data:
                        return
                    conversation.add(key.data, data)
                    sink.sendall(data)
        except OSError:
            return

"""Stands between a job and its server, counts the job's statements and strikes the job at a chosen one (I3).

The proxy knows nothing of the code under test: it reads MySQL's packets as they pass, counts `COM_QUERY` over all
connections of the job in order of arrival, and at the n-th sends a signal to the job's process. After a SIGKILL it
treats the server as the kernel treats a dead client's peer: it closes. TLS and compression would hide the packets, so
a client that asks for either is refused; the job connects with `?ssl_disabled=true`.

Protocol: https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html
"""

import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from signal import SIGKILL, Signals

from tests.support.ports import clients_of

COM_QUERY = 0x03
CLIENT_COMPRESS = 0x0020
CLIENT_SSL = 0x0800
CLIENT_DEPRECATE_EOF = 0x0100_0000
SERVER_MORE_RESULTS_EXIST = 0x0008
LARGEST_PAYLOAD = 0xFF_FFFF
CHUNK = 256 * 1024
KEPT_TEXT = 500


class Moment(Enum):
    """When the job is struck, seen from the statement that was chosen."""

    BEFORE = "before"
    JUST_AFTER = "just_after"
    ANSWERED = "answered"


@dataclass(frozen=True)
class Strike:
    """The n-th statement (counted from 1), the moment, and the signal that the job gets."""

    n: int
    moment: Moment
    signal: Signals = SIGKILL


@dataclass
class Packet:
    """One logical packet: the physical ones of 16 MiB that it was split into are already joined."""

    sequence: int
    payload: bytes
    raw: bytes


@dataclass
class PacketReader:
    """Cuts a stream of bytes into logical packets."""

    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield every packet that `data` completes."""
        self._buffer += data
        while (packet := self._take()) is not None:
            yield packet

    def _take(self) -> Packet | None:
        pieces: list[bytes] = []
        position = 0
        while len(self._buffer) - position >= 4:
            length = int.from_bytes(self._buffer[position : position + 3], "little")
            end = position + 4 + length
            if len(self._buffer) < end:
                return None
            pieces.append(bytes(self._buffer[position + 4 : end]))
            position = end
            if length < LARGEST_PAYLOAD:
                packet = Packet(self._buffer[3], b"".join(pieces), bytes(self._buffer[:end]))
                del self._buffer[:end]
                return packet
        return None


class ReplyReader:
    """Follows the server's answer to one COM_QUERY until it is complete, all of its result sets included."""

    def __init__(self, deprecate_eof: bool) -> None:
        self._deprecate_eof = deprecate_eof
        self._packets = PacketReader()
        self._step: Callable[[bytes], None] = self._first
        self._columns_left = 0
        self.complete = False

    def feed(self, data: bytes) -> None:
        """Take more of the answer; afterwards `complete` tells whether that was all."""
        for packet in self._packets.feed(data):
            self._step(packet.payload)

    def _first(self, payload: bytes) -> None:
        if payload[0] == 0xFF:
            self.complete = True
        elif payload[0] == 0x00:
            self._end_of_result(_status_of_ok(payload))
        elif payload[0] != 0xFB:  # 0xFB asks the client for a file: the answer proper follows later
            self._columns_left, _ = _length_encoded(payload, 0)
            self._step = self._column

    def _column(self, _payload: bytes) -> None:
        self._columns_left -= 1
        if self._columns_left == 0:
            self._step = self._row if self._deprecate_eof else self._end_of_columns

    def _end_of_columns(self, _payload: bytes) -> None:
        self._step = self._row

    def _row(self, payload: bytes) -> None:
        if payload[0] == 0xFF:
            self.complete = True
        elif payload[0] == 0xFE and self._deprecate_eof and len(payload) < LARGEST_PAYLOAD:
            self._end_of_result(_status_of_ok(payload))
        elif payload[0] == 0xFE and not self._deprecate_eof and len(payload) < 9:
            self._end_of_result(int.from_bytes(payload[3:5], "little"))

    def _end_of_result(self, status: int) -> None:
        if status & SERVER_MORE_RESULTS_EXIST:
            self._step = self._first
        else:
            self.complete = True


def _status_of_ok(payload: bytes) -> int:
    _affected_rows, position = _length_encoded(payload, 1)
    _last_insert_id, position = _length_encoded(payload, position)
    return int.from_bytes(payload[position : position + 2], "little")


def _length_encoded(payload: bytes, position: int) -> tuple[int, int]:
    """Return the integer at `position` and the position after it."""
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(payload[position], 0)
    if width == 0:
        return payload[position], position + 1
    end = position + 1 + width
    return int.from_bytes(payload[position + 1 : end], "little"), end


class Proxy:
    """Listens on a free port of loopback for one job, passes everything on, and strikes once.

    Use as a context manager, one for each run: `with Proxy(host, port, Strike(7, Moment.BEFORE)) as proxy: …`; start
    the job against `proxy.port`, then tell its process id by `aim`. `statements` holds what the job sent, `struck` the
    statement at which it was struck (None: the job never got there).
    """

    def __init__(self, host: str, port: int, strike: Strike | None = None) -> None:
        self._server = (host, port)
        self._strike = strike
        self._victim = 0
        self._aimed = threading.Event()
        self._order = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._conversations: list[_Conversation] = []
        self.port: int = self._listener.getsockname()[1]
        self.statements: list[str] = []
        self.struck: str | None = None
        self.over = False
        self.blinded = False

    def __enter__(self) -> "Proxy":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection, as the end of the job's process does."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for conversation in self._conversations:
            conversation.hang_up()
        for thread in self._threads[1:]:
            thread.join()
        if self.blinded:
            raise RuntimeError("the job asked for TLS or compression, which hide its packets: add ?ssl_disabled=true")

    def aim(self, pid: int) -> None:
        """Say which process the strike is for."""
        self._victim = pid
        self._aimed.set()

    def _accept(self) -> None:
        for client in clients_of(self._listener):
            try:
                server = socket.create_connection(self._server, timeout=10)
            except OSError:  # the server is down: the job sees its connection end at once
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conversation = _Conversation(self, client, server)
            self._conversations.append(conversation)
            self._threads.append(threading.Thread(target=conversation.run, daemon=True))
            self._threads[-1].start()

    def pass_on_statement(self, packet: Packet, server: socket.socket) -> bool:
        """Count a COM_QUERY, forward it unless the job dies first; True if the strike is due once it is answered."""
        with self._order:
            if self.over:
                return False
            text = packet.payload[1:].decode("utf-8", "replace")[:KEPT_TEXT]
            self.statements.append(text)
            chosen = self._strike is not None and len(self.statements) == self._strike.n
            if not chosen:
                server.sendall(packet.raw)
                return False
            self.struck = text
            assert self._strike is not None
            if self._strike.moment is Moment.BEFORE:
                self.strike()
            if not self.over:
                server.sendall(packet.raw)
            if self._strike.moment is Moment.JUST_AFTER:
                self.strike()
            return self._strike.moment is Moment.ANSWERED

    def strike(self) -> None:
        """Send the signal; after a SIGKILL nothing passes any more."""
        assert self._strike is not None
        if not self._aimed.wait(timeout=10):
            raise RuntimeError("the proxy was never told whom to strike: call aim(pid) after starting the job")
        self.over = self._strike.signal is SIGKILL
        os.kill(self._victim, self._strike.signal)


class _Conversation:
    """One connection of the job, with the connection to the server that belongs to it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._packets = PacketReader()
        self._deprecate_eof = False
        self._reply: ReplyReader | None = None
        self._withheld: list[bytes] = []

    def run(self) -> None:
        """Pass bytes both ways until one side ends or the job is dead."""
        with selectors.DefaultSelector() as selector, self._client, self._server:
            selector.register(self._client, selectors.EVENT_READ, self._from_client)
            selector.register(self._server, selectors.EVENT_READ, self._from_server)
            try:
                while not self._proxy.over:
                    for key, _ in selector.select():
                        data = key.fileobj.recv(CHUNK)  # type: ignore[union-attr]
                        if not data:
                            return
                        key.data(data)
            except OSError:
                return

    def hang_up(self) -> None:
        """End the conversation from outside its thread."""
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _from_client(self, data: bytes) -> None:
        for packet in self._packets.feed(data):
            if packet.sequence != 0:
                self._authentication(packet)
            elif packet.payload[:1] == bytes([COM_QUERY]):
                if self._proxy.pass_on_statement(packet, self._server):
                    self._reply = ReplyReader(self._deprecate_eof)
            elif not self._proxy.over:
                self._server.sendall(packet.raw)

    def _authentication(self, packet: Packet) -> None:
        if packet.sequence == 1 and len(packet.payload) >= 32:
            asked = int.from_bytes(packet.payload[:4], "little")
            if asked & (CLIENT_SSL | CLIENT_COMPRESS):
                self._proxy.blinded = True
                self.hang_up()
                return
            self._deprecate_eof = bool(asked & CLIENT_DEPRECATE_EOF)
        self._server.sendall(packet.raw)

    def _from_server(self, data: bytes) -> None:
        if self._reply is None:
            self._client.sendall(data)
            return
        self._withheld.append(data)
        self._reply.feed(data)
        if self._reply.complete:
            self._reply = None
            self._proxy.strike()
            if not self._proxy.over:
                self._client.sendall(b"".join(self._withheld))

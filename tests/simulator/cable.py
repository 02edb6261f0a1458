"""The wires between client and device, which can be cut, slowed and disturbed: they pass bytes on."""

import asyncio
import contextlib
import os
import socket
import struct
import tempfile
import tty
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import override

from .frames import DISTURBANCES, Frame, split_answers

PIECE_PAUSE_S = 0.01
"""Between two segments of one answer."""
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER for a connection that ends by a reset."""
BACKLOG_FILLERS = 3


@dataclass
class Faults:
    """The present faults of the wire."""

    delay: float = 0.0
    """Seconds by which each answer is late."""
    silent: bool = False
    """Connections are accepted, but requests are never answered."""
    refused: bool = False
    """Connections are closed at once."""
    reset: bool = False
    """Each request is met by a reset of the connection."""
    disturb: str | None = None
    """One of `DISTURBANCES`: what happens to each answer."""
    lagging: bool = False
    """Each request is met by the answer to the request before."""
    lose: int = 0
    """Number of requests lost from the next write of zero on."""
    clients: int | None = None
    """Number of clients that the gateway accepts; connections of others are closed immediately."""


class Wire(ABC):
    """A wire with faults. Frames are expected to arrive whole, which they do between processes of one machine."""

    def __init__(self, *, rtu: bool) -> None:
        """Take the framing: that of a serial line, or that of Modbus TCP."""
        self.faults = Faults()
        self._rtu = rtu
        self._losing = False
        self._kept_back: bytes | None = None

    @abstractmethod
    async def plug(self, device_port: int) -> None:
        """Connect to the device; the address stays the same when it is plugged in again."""

    @abstractmethod
    async def unplug(self) -> None:
        """Close every connection and take no new one."""

    @abstractmethod
    async def drop(self) -> None:
        """Close every connection."""

    @abstractmethod
    def half_open(self) -> None:
        """Keep existing connections open but never answer on them; new ones work."""

    async def vanish(self) -> None:
        """Be gone without a word: what is sent is lost, and nothing new is accepted or refused."""
        self.faults.silent = True

    async def heal(self) -> None:
        """Mend the wire."""
        self.faults = Faults()
        self._losing, self._kept_back = False, None

    def _passes(self, request: bytes) -> bool:
        """Return whether this request arrives."""
        zero = Frame.take(request, rtu=self._rtu).writes_zero
        self._losing = self.faults.lose > 0 and (self._losing or zero)
        self.faults.lose -= self._losing
        return not self.faults.silent and not self._losing

    async def _deliver(self, answers: asyncio.Queue[tuple[float, bytes]], send: Callable[[bytes], None]) -> None:
        """Pass on what arrives of each answer, segment by segment."""
        loop = asyncio.get_running_loop()
        while True:
            came_at, answer = await answers.get()
            await asyncio.sleep(max(came_at + self.faults.delay - loop.time(), 0))
            if self.faults.silent:
                continue
            if self.faults.lagging:
                self._kept_back, answer = answer, self._kept_back or b""
            segments = [answer]
            if answer and self.faults.disturb is not None:
                segments = DISTURBANCES[self.faults.disturb](Frame.take(answer, rtu=self._rtu))
            for index, segment in enumerate(segments):
                await asyncio.sleep(PIECE_PAUSE_S if index else 0)
                if segment:
                    send(segment)

    def _came(self, answers: asyncio.Queue[tuple[float, bytes]], received: bytes) -> None:
        """Note the answers that the device has just sent."""
        for answer in split_answers(received, rtu=self._rtu):
            answers.put_nowait((asyncio.get_running_loop().time(), answer))


class Cable(Wire):
    """Listens for clients and passes their bytes to the device's own port."""

    def __init__(self, host: str, port: int, *, rtu: bool = False) -> None:
        """Take the address to listen on; port 0 takes a free one."""
        super().__init__(rtu=rtu)
        self.host = host
        self.port = port
        self._device_port = 0
        self._server: asyncio.Server | None = None
        self._plugged = False
        self._links: set[asyncio.Task[None]] = set()
        self._dead: set[asyncio.Task[None]] = set()
        self._deaf: list[socket.socket] = []
        """A port that answers no connection attempt, and the attempts that fill its queue."""

    @override
    async def plug(self, device_port: int) -> None:
        self._device_port, self._plugged = device_port, True
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    @override
    async def unplug(self) -> None:
        self._plugged = False
        self._stop_listening()
        await self.drop()

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        while self._deaf:
            self._deaf.pop().close()

    @override
    async def drop(self) -> None:
        for link in list(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    @override
    def half_open(self) -> None:
        self._dead |= self._links

    @override
    async def vanish(self) -> None:
        self.half_open()
        self._stop_listening()
        listener = socket.create_server((self.host, self.port), backlog=0)
        self._deaf.append(listener)
        for _ in range(BACKLOG_FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((self.host, self.port))
            self._deaf.append(filler)

    @override
    async def heal(self) -> None:
        await super().heal()
        if self._deaf:
            self._stop_listening()
            await self.plug(self._device_port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A connection may be accepted in the moment in which the cable is pulled.
        if (
            not self._plugged
            or self.faults.refused
            or (self.faults.clients is not None and len(self._links) >= self.faults.clients)
        ):
            writer.transport.abort()
            return
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        try:
            device_reader, device_writer = await asyncio.open_connection("127.0.0.1", self._device_port)
        except OSError:  # nothing is there
            self._links.discard(link)
            writer.transport.abort()
            return
        back = asyncio.create_task(self._answers(link, device_reader, writer))
        try:
            while request := await reader.read(1024):
                if self.faults.reset:
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                    writer.transport.abort()
                    break
                if link not in self._dead and self._passes(request):
                    device_writer.write(request)
        except ConnectionError, asyncio.CancelledError:
            pass
        finally:
            back.cancel()
            self._links.discard(link)
            self._dead.discard(link)
            for one in (writer, device_writer):
                with contextlib.suppress(Exception):
                    one.close()

    async def _answers(
        self, link: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        answers: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        def send(segment: bytes) -> None:
            if link not in self._dead:
                writer.write(segment)

        delivery = asyncio.create_task(self._deliver(answers, send))
        try:
            while received := await reader.read(4096):
                self._came(answers, received)
        except ConnectionError:
            pass
        finally:
            delivery.cancel()


class SerialCable(Wire):
    """Two serial ports whose lines are connected: pairs of pseudo-terminals."""

    def __init__(self) -> None:
        """Make both ports."""
        super().__init__(rtu=True)
        self._folder = Path(tempfile.mkdtemp(prefix="serial"))
        self.client_end = str(self._folder / "client")
        """The client's port, a path that stays when the cable is pulled and put in again."""
        self._device = _open_pair()
        self.device_end = os.ttyname(self._device[1])
        self._client: tuple[int, int] | None = None
        self._answers: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._delivery = asyncio.create_task(self._deliver(self._answers, self._send))
        _listen(self._device[0], lambda received: self._came(self._answers, received))
        self._plug()

    @override
    async def plug(self, device_port: int = 0) -> None:
        if self._client is None:
            self._plug()

    def _plug(self) -> None:
        self._client = _open_pair()
        Path(self.client_end).symlink_to(os.ttyname(self._client[1]))
        _listen(self._client[0], self._request)

    @override
    async def unplug(self) -> None:
        if self._client is not None:
            os.unlink(self.client_end)  # noqa: PTH108 - nothing that blocks
            _close_pair(self._client)
            self._client = None

    @override
    async def drop(self) -> None:
        """A serial line has no connections."""

    @override
    def half_open(self) -> None:
        """A serial line has no connections."""

    async def close(self) -> None:
        """Remove both ports."""
        await self.unplug()
        self._delivery.cancel()
        await asyncio.gather(self._delivery, return_exceptions=True)
        _close_pair(self._device)
        self._folder.rmdir()

    def _request(self, request: bytes) -> None:
        if self._passes(request):
            os.write(self._device[0], request)

    def _send(self, segment: bytes) -> None:
        if self._client is not None:
            os.write(self._client[0], segment)


def _open_pair() -> tuple[int, int]:
    pair = os.openpty()
    for end in pair:
        tty.setraw(end)
        os.set_blocking(end, False)
    return pair


def _close_pair(pair: tuple[int, int]) -> None:
    asyncio.get_running_loop().remove_reader(pair[0])
    for end in pair:
        os.close(end)


def _listen(end: int, take: Callable[[bytes], None]) -> None:
    def read() -> None:
        with contextlib.suppress(OSError):
            take(os.read(end, 4096))

    asyncio.get_running_loop().add_reader(end, read)

"""The wire between client and device, which can be cut, slowed and disturbed: a proxy that passes bytes on."""

import asyncio
import contextlib
from dataclasses import dataclass

MBAP_HEADER = 7
FAULTS = ("garbage", "short_frame", "wrong_unit", "wrong_transaction")


WRITE_ONE, WRITE_MANY = 6, 16
VALUES_AT = {WRITE_ONE: 3, WRITE_MANY: 6}
"""Offset of the values in a request, after its function code."""


def _writes_zero(request: bytes) -> bool:
    """Return whether a request without its header writes zeros only."""
    return request[0] in VALUES_AT and not any(request[VALUES_AT[request[0]] :])


@dataclass
class Faults:
    """The present faults of the wire."""

    delay: float = 0.0
    """Seconds by which each answer is late."""
    silent: bool = False
    """Requests arrive nowhere: connections are taken, nothing is ever answered."""
    refused: bool = False
    """Connections are closed at once."""
    disturb: str | None = None
    """One of `FAULTS`: what happens to each answer."""
    lose: int = 0
    """Number of requests lost from the next write of zero on; Modbus TCP only."""
    clients: int | None = None
    """Number of clients that the gateway accepts; connections of others are closed immediately."""


class Cable:
    """Listens for clients and passes their bytes to the device's own port."""

    def __init__(self, host: str, port: int) -> None:
        """Take the address to listen on; port 0 takes a free one."""
        self.host = host
        self.port = port
        self.faults = Faults()
        self._device_port = 0
        self._server: asyncio.Server | None = None
        self._losing = False
        self._links: set[asyncio.Task[None]] = set()
        self._dead: set[asyncio.Task[None]] = set()

    async def plug(self, device_port: int) -> None:
        """Connect to the device; the port stays the same when it is plugged in again."""
        self._device_port = device_port
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def unplug(self) -> None:
        """Close every connection and take no new one."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.drop()

    async def drop(self) -> None:
        """Close every connection."""
        for link in list(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def half_open(self) -> None:
        """Let the present connections live on without ever answering again; new ones work."""
        self._dead |= self._links

    def heal(self) -> None:
        """Mend the wire."""
        self.faults = Faults()
        self._losing = False

    def _loses(self, request: bytes) -> bool:
        """Return whether this request gets lost."""
        self._losing = self.faults.lose > 0 and (self._losing or _writes_zero(request[MBAP_HEADER:]))
        self.faults.lose -= self._losing
        return self._losing

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.faults.refused or (self.faults.clients is not None and len(self._links) >= self.faults.clients):
            writer.transport.abort()
            return
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        device_reader, device_writer = await asyncio.open_connection("127.0.0.1", self._device_port)
        back = asyncio.create_task(self._answers(link, device_reader, writer))
        try:
            while request := await reader.read(1024):
                if not self.faults.silent and link not in self._dead and not self._loses(request):
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
        with contextlib.suppress(ConnectionError):
            while answer := await reader.read(1024):
                if self.faults.delay:
                    await asyncio.sleep(self.faults.delay)
                if not self.faults.silent and link not in self._dead:
                    writer.write(self._disturbed(answer))
                    await writer.drain()

    def _disturbed(self, answer: bytes) -> bytes:
        match self.faults.disturb:
            case "garbage":
                return bytes(byte ^ 0x5A for byte in answer)
            case "short_frame":
                return answer[: len(answer) // 2]
            case "wrong_unit":
                return answer[: MBAP_HEADER - 1] + bytes([answer[MBAP_HEADER - 1] ^ 0x40]) + answer[MBAP_HEADER:]
            case "wrong_transaction":
                return bytes([answer[0] ^ 0x40]) + answer[1:]
            case _:
                return answer

"""A counting Modbus server, one port for each inverter. Commands and answers are lines of JSON.

Every second a share of the moving words takes a new value, each at its own moment, and now and then a bit flips.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from typing import Any

from .words import COUNTERS, FLAGS, MOVING, START

READ = (3, 4)
WRITE_ONE = 6


class Device:
    """The registers, how they change, and what was asked."""

    def __init__(self, latency_s: float) -> None:
        """Answer each request after `latency_s`, one at a time."""
        self.latency_s = latency_s
        self.words, self.change, self.flips = dict(START), 0.0, 0.0
        self.rng = random.Random(1)
        self.counts: Counter[str] = Counter()
        self.answers: list[float] = []

    def tick(self) -> None:
        """Plan the changes of the next second."""
        loop = asyncio.get_running_loop()
        loop.call_later(1, self.tick)
        for address in self.rng.sample(MOVING, round(self.change * len(MOVING))):
            loop.call_later(self.rng.random(), self.step, address)
        if self.rng.random() < self.flips:
            loop.call_later(self.rng.random(), self.flip, *self.rng.choice(FLAGS)[1:])

    def step(self, address: int) -> None:
        """Move one word a little."""
        if address in COUNTERS:
            self.words[address] += 1
        else:
            moved = self.words[address] + self.rng.choice((-3, -2, -1, 1, 2, 3))
            nearest = (START[address] + self.rng.choice((-1, 1))) % 0x10000
            self.words[address] = moved % 0x10000 if abs(moved - START[address]) <= 9 else nearest

    def flip(self, address: int, bit: int) -> None:
        """Turn one bit over."""
        self.words[address] ^= 1 << bit

    def command(self, command: dict[str, Any]) -> None:
        """Set the rates of change, and hand over what was counted since the last command."""
        print(json.dumps({"counts": self.counts, "answers": self.answers}), flush=True)
        self.change, self.flips = command["change"], command["flips"]
        self.counts, self.answers = Counter(), []

    def pdu(self, request: bytes) -> bytes:
        """Answer a request."""
        function, address, count = request[0], int.from_bytes(request[1:3]), int.from_bytes(request[3:5])
        self.counts["requests"] += 1
        if function in READ:
            self.counts["words"] += count
            words = range(address, address + count)
            return bytes((function, 2 * count)) + b"".join(self.words.get(word, 0).to_bytes(2) for word in words)
        values = (
            [count]
            if function == WRITE_ONE
            else [int.from_bytes(request[i : i + 2]) for i in range(6, len(request), 2)]
        )
        self.words.update(enumerate(values, address))
        return request[:5]


class Link(asyncio.Protocol):
    """One connection."""

    def __init__(self, device: Device) -> None:
        """Serve this device."""
        self.device, self.buffer, self.busy_until = device, b"", 0.0
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        self.buffer += data
        while len(self.buffer) >= 8 and len(self.buffer) >= (end := 6 + int.from_bytes(self.buffer[4:6])):
            frame, self.buffer = self.buffer[:end], self.buffer[end:]
            if self.device.latency_s:
                loop = asyncio.get_running_loop()
                self.busy_until = max(loop.time(), self.busy_until) + self.device.latency_s
                loop.call_at(self.busy_until, self.answer, frame)
            else:
                self.answer(frame)

    def answer(self, frame: bytes) -> None:
        """Send the answer and note when."""
        pdu = self.device.pdu(frame[7:])
        if not self.transport.is_closing():
            self.device.answers.append(time.monotonic())
            self.transport.write(frame[:4] + (len(pdu) + 1).to_bytes(2) + frame[6:7] + pdu)


async def main(ports: int, latency_s: float) -> None:
    """Serve until the input ends."""
    device, loop = Device(latency_s), asyncio.get_running_loop()
    servers = [await loop.create_server(lambda: Link(device), "127.0.0.1", 0) for _ in range(ports)]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    device.tick()
    done = asyncio.Event()

    def line() -> None:
        if command := sys.stdin.readline():
            device.command(json.loads(command))
        else:
            done.set()

    loop.add_reader(sys.stdin, line)
    await done.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))

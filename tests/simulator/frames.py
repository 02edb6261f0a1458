"""Modbus frames on a wire, and what a disturbed wire makes of an answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from pymodbus.framer import FramerRTU

MBAP_HEADER = 7
CRC = 2
WRITE_ONE, WRITE_MANY = 6, 16
WRITES = (WRITE_ONE, WRITE_MANY)
VALUES_AT = {WRITE_ONE: 3, WRITE_MANY: 6}
"""Where the values begin in a request, after its function code."""
JUNK = bytes((0xF3, 0x00, 0x5A, 0xFF, 0x7E, 0x91, 0xC4))
MOST_WORDS = 125
PIECES = 5


@dataclass(frozen=True)
class Frame:
    """One frame. Its `head` is transaction and protocol over TCP, `None` on a serial line."""

    unit: int
    pdu: bytes
    head: bytes | None

    @classmethod
    def take(cls, raw: bytes, *, rtu: bool) -> Self:
        """Take a whole frame apart."""
        if rtu:
            return cls(raw[0], raw[1:-CRC], None)
        return cls(raw[MBAP_HEADER - 1], raw[MBAP_HEADER:], raw[:4])

    @property
    def raw(self) -> bytes:
        """The frame as it goes over the wire, with a length or checksum that fits."""
        body = bytes([self.unit]) + self.pdu
        if self.head is None:
            return body + FramerRTU.compute_CRC(body).to_bytes(CRC, "big")
        return self.head + len(body).to_bytes(2, "big") + body

    @property
    def writes_zero(self) -> bool:
        """The request writes zeros only."""
        function = self.pdu[0]
        return function in VALUES_AT and not any(self.pdu[VALUES_AT[function] :])


def split_answers(raw: bytes, *, rtu: bool) -> list[bytes]:
    """Take apart what the device sent at once, which is several answers if several requests were waiting."""
    answers = []
    while raw:
        if not rtu:
            length = MBAP_HEADER - 1 + int.from_bytes(raw[4:6], "big")
        elif raw[1] & 0x80:
            length = 3 + CRC
        else:
            length = (6 if raw[1] in WRITES else 3 + raw[2]) + CRC
        answers.append(raw[:length])
        raw = raw[length:]
    return answers


type Disturbance = Callable[[Frame], list[bytes]]
"""Returns what arrives in place of an answer; what is several arrives in several segments."""


def _too_many_words(frame: Frame) -> bytes:
    if frame.pdu[0] in WRITES or frame.pdu[0] & 0x80:
        return frame.raw + JUNK
    words = (frame.pdu[2:] * MOST_WORDS)[: 2 * MOST_WORDS]
    return replace(frame, pdu=bytes([frame.pdu[0], len(words)]) + words).raw


def _wrong_byte_count(frame: Frame) -> bytes:
    claimed = (frame.pdu[1] - 2) % 256
    return replace(frame, pdu=frame.pdu[:1] + bytes([claimed]) + frame.pdu[2:]).raw


def _in_pieces(raw: bytes) -> list[bytes]:
    size = -(-len(raw) // PIECES)
    return [raw[start : start + size] for start in range(0, len(raw), size)]


def _without(raw: bytes, count: int) -> bytes:
    middle = len(raw) // 2
    return raw[:middle] + raw[middle + count :]


def _wrong_transaction(frame: Frame) -> bytes:
    assert frame.head is not None, "a serial line has no transactions"
    return replace(frame, head=bytes([frame.head[0] ^ 0x40]) + frame.head[1:]).raw


DISTURBANCES: Mapping[str, Disturbance] = {
    "garbage": lambda frame: [bytes(byte ^ 0x5A for byte in frame.raw)],
    "garbage_before": lambda frame: [JUNK + frame.raw],
    "garbage_after": lambda frame: [frame.raw + JUNK],
    "short_frame": lambda frame: [frame.raw[: len(frame.raw) // 2]],
    "missing_bytes": lambda frame: [_without(frame.raw, 2)],
    "too_many_words": lambda frame: [_too_many_words(frame)],
    "twice": lambda frame: [frame.raw * 2],
    "in_pieces": lambda frame: _in_pieces(frame.raw),
    "wrong_unit": lambda frame: [replace(frame, unit=frame.unit ^ 0x40).raw],
    "wrong_function": lambda frame: [replace(frame, pdu=bytes([frame.pdu[0] ^ 7]) + frame.pdu[1:]).raw],
    "wrong_byte_count": lambda frame: [_wrong_byte_count(frame)],
    "wrong_checksum": lambda frame: [frame.raw[:-1] + bytes([frame.raw[-1] ^ 0xFF])],
    "wrong_transaction": lambda frame: [_wrong_transaction(frame)],
}
"""By the name that the command `disturb` knows. Length and checksum stay right unless they are what is wrong."""

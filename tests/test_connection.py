"""The link: how a process of its own reaches the device, and which lines of pymodbus are logged."""

import asyncio
import logging
import socket
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
from modbus_connection import ModbusError, ModbusSerialParams, ModbusTcpParams, ModbusTimeoutError
from modbus_connection.pymodbus import ModbusConnection
from modbus_connection.tmodbus import ModbusConnection as SharedConnection
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.logging import Log

from custom_components.refu_ess.connection import guard_link, modbus_params
from custom_components.refu_ess.ess import GuardLink, link as link_module
from custom_components.refu_ess.ess.link import GuardedUnit

from .conftest import HOST, SERIAL_DATA, TCP_DATA
from .registers import STATUS_BLOCK, WORK_STATE


def link(params: ModbusTcpParams | ModbusSerialParams, unit_id: int) -> GuardLink:
    """Return the link that a guard gets."""
    return GuardLink(params=params, unit_id=unit_id, timeout_s=2.0)


@pytest.mark.parametrize("shared", [False, True])
def test_guard_has_a_link_of_its_own(shared: bool) -> None:
    """A guard process gets a private link, whatever link Home Assistant uses."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        rtu = ModbusTcpParams(host=HOST, port=502, framer="rtu")
    assert guard_link(TCP_DATA | {"share_connection": shared}) == link(ModbusTcpParams(host=HOST, port=502), 1)
    assert guard_link(TCP_DATA | {"transport": "rtu_over_tcp", "share_connection": shared}) == link(rtu, 1)
    serial = ModbusSerialParams(device="/dev/ttyUSB0", baudrate=19200, bytesize=8, parity="E", stopbits=1)
    assert guard_link(SERIAL_DATA | {"share_connection": shared}) == link(serial, 3)


@pytest.mark.parametrize(
    ("host", "device"),
    [
        pytest.param("2001:db8::1", "socket://[2001:db8::1]:502", id="IPv6-in-brackets"),
        pytest.param(HOST, f"socket://{HOST}:502", id="IPv4"),
    ],
)
def test_shared_rtu_over_tcp_is_a_serial_link(host: str, device: str) -> None:
    """Home Assistant's shared link knows RTU over TCP as a serial port."""
    shared = {"transport": "rtu_over_tcp", "share_connection": True, "unit_id": 1, "host": host, "port": 502}
    params = modbus_params(shared)
    assert isinstance(params, ModbusSerialParams)
    assert params.device == device


class Wrong:
    """A server that leaves requests without an answer, or answers with another transaction id."""

    def __init__(self) -> None:
        """Start silent."""
        self.silent = True
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        while frame := await reader.read(260):
            if not self.silent:
                transaction = int.from_bytes(frame[:2]) + 7
                writer.write(transaction.to_bytes(2) + b"\0\0\0\5" + frame[6:8] + b"\2\0\1")
        writer.close()


@pytest.fixture
async def wrong(socket_enabled: None) -> AsyncIterator[Wrong]:
    """A device that cannot be understood."""
    found = Wrong()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()


@pytest.fixture(autouse=True)
def _as_in_use(caplog: pytest.LogCaptureFixture) -> None:
    """Log as Home Assistant does by default, and let pymodbus forget the last line of an earlier test."""
    caplog.set_level(logging.WARNING, "pymodbus.logging")
    Log.last_log_text, Log.repeat_log = "", False


async def ours(port: int, times: int) -> None:
    """Ask as the integration does; every request fails."""
    connection = ModbusConnection(ModbusTcpParams(host="127.0.0.1", port=port), timeout=0.2)
    unit = GuardedUnit(connection.for_unit(1))
    for _ in range(times):
        with pytest.raises(ModbusError):
            await unit.read_input_registers(STATUS_BLOCK, 1)
    await connection.close()


async def theirs(port: int, times: int) -> None:
    """Ask as another integration with pymodbus does; every request fails."""
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=0.2, retries=0, reconnect_delay=0)
    await client.connect()
    for _ in range(times):
        with pytest.raises(ModbusException):
            await client.read_input_registers(WORK_STATE, count=1, device_id=1)
    client.close()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the first line of each message of pymodbus."""
    return [one.getMessage().split("\n")[0] for one in caplog.records if one.name == "pymodbus.logging"]


async def unused_port() -> int:
    """Return a port that refuses connections."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "wrong_transaction"])
async def test_our_failed_requests_are_no_lines_of_pymodbus(
    wrong: Wrong, silent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests of ours that fail reach us as errors; pymodbus adds nothing, not even from its protocol's callbacks."""
    wrong.silent = silent
    await ours(wrong.port, 3)
    assert lines(caplog) == []


@pytest.mark.usefixtures("socket_enabled")
async def test_our_refused_connections_are_no_lines_of_pymodbus(caplog: pytest.LogCaptureFixture) -> None:
    """A connection of ours that cannot be opened is an error of the library too."""
    await ours(await unused_port(), 2)
    assert lines(caplog) == []


@pytest.mark.parametrize(("silent", "text"), [(True, "No response received"), (False, "ERROR: request ask for")])
async def test_lines_of_others_are_logged_at_the_same_time(
    wrong: Wrong, silent: bool, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """While our requests fail, another client's errors are logged as if we were not there."""
    wrong.silent = silent
    await theirs(wrong.port, 1)
    alone = lines(caplog)
    assert alone
    caplog.clear()
    Log.last_log_text, Log.repeat_log = "", False
    await asyncio.gather(ours(wrong.port, 4), asyncio.sleep(0.3))
    await asyncio.gather(ours(wrong.port, 4), theirs(wrong.port, 2))
    found = lines(caplog)
    assert found[0].startswith(text)
    assert len(found) >= 2  # once for each of their requests, shortened by pymodbus itself if they are alike


@pytest.mark.usefixtures("socket_enabled")
async def test_refused_connections_of_others_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Another client's refused connection is logged while ours is refused too, and in full after ours was."""
    port = await unused_port()

    async def connect() -> Any:
        client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=0.2, retries=0, reconnect_delay=0)
        return await client.connect()

    _, connected = await asyncio.gather(ours(port, 3), connect())
    assert connected is False
    assert [line.split(" [")[0] for line in lines(caplog)] == ["Failed to connect"]
    caplog.clear()
    Log.last_log_text, Log.repeat_log = "", False
    await ours(port, 2)
    assert await connect() is False
    assert [line.split(" [")[0] for line in lines(caplog)] == ["Failed to connect"]


@pytest.mark.usefixtures("socket_enabled")
async def test_a_link_that_does_not_open_is_no_line_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that swallows attempts to connect for longer than our deadline is told by our errors only."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    monkeypatch.setattr(link_module, "DEADLINE_SECONDS", 0.1)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):  # now the queue of the listener is full
            shared = SharedConnection(ModbusTcpParams(host="127.0.0.1", port=port), timeout=0.4)
            unit = GuardedUnit(shared.for_unit(1))
            for _ in range(2):
                with pytest.raises(ModbusTimeoutError):
                    await unit.read_input_registers(0x100, 1)
    await shared.close()  # now that nobody listens any longer, opening the link fails; it is waited for
    assert told == []
    assert unit.statistics.errors == {"ModbusTimeoutError": 2}

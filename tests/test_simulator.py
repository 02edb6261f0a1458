"""The simulated ESS against what is known of the device: addresses and words typed from its documentation."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from .registers import (
    ACTIVE_SETPOINT,
    ACTIVE_SETPOINT_L1,
    ALLOWED_CHARGE,
    BATTERY_ADDRESSES,
    BATTERY_BLOCK,
    BATTERY_FAULT_9,
    BATTERY_FAULT_10,
    BATTERY_STATE,
    BATTERY_VOLTAGE,
    CHARGE_ENERGY,
    ERROR_LOG_1,
    ERROR_RESET,
    INVERTER_STATUS,
    LOWEST_TEMPERATURE,
    SOC,
    STATUS_BLOCK,
    SYSTEM_ERROR_1,
    SYSTEM_STATE,
    WORK_STATE,
)
from .simulator import Model, Simulator, State, carry_out
from .simulator.__main__ import EXAMPLE
from .simulator.commands import COMMANDS, HELP

pytestmark = pytest.mark.usefixtures("socket_enabled")


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """An ESS at rest with frozen time."""
    async with Simulator(speed=0) as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[AsyncModbusTcpClient]:
    """An independent client."""
    client = AsyncModbusTcpClient("127.0.0.1", port=sim.port, timeout=1, retries=0, reconnect_delay=0)
    assert await client.connect()
    yield client
    client.close()


async def words(client: AsyncModbusTcpClient, address: int, count: int) -> list[int]:
    """Read input registers."""
    return (await client.read_input_registers(address, count=count)).registers


async def test_both_input_blocks(client: AsyncModbusTcpClient) -> None:
    """The two blocks answer in one request each."""
    assert len(await words(client, STATUS_BLOCK, 25)) == 25
    assert len(await words(client, BATTERY_BLOCK, len(BATTERY_ADDRESSES))) == len(BATTERY_ADDRESSES)


@pytest.mark.parametrize(
    ("address", "count"), [(0x119, 1), (0x118, 3), (0xFF, 1), (BATTERY_ADDRESSES.stop, 1), (0x200, 1)]
)
async def test_unknown_input_registers(client: AsyncModbusTcpClient, address: int, count: int) -> None:
    """Registers that OpenEMS never reads are refused with exception 2."""
    assert (await client.read_input_registers(address, count=count)).exception_code == 2


async def test_function_3_reads_settings_only(client: AsyncModbusTcpClient) -> None:
    """Function 3 serves 0x200 to 0x20A and nothing else."""
    assert (await client.read_holding_registers(WORK_STATE, count=3)).registers == [1, 0, 0]
    assert (await client.read_holding_registers(STATUS_BLOCK, count=1)).exception_code == 2


async def test_other_functions_are_refused(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """Coils and the combined read and write are not supported."""
    assert (await client.read_coils(WORK_STATE, count=1)).exception_code == 1
    answer = await client.readwrite_registers(
        read_address=WORK_STATE, read_count=1, write_address=ACTIVE_SETPOINT, values=[1]
    )
    assert answer.exception_code == 1
    assert sim.model.total_w == 0
    assert sim.write_log == []


def test_start_written_again_and_again() -> None:
    """START that is repeated every second starts the system all the same."""
    model = Model(state=State.STANDBY)
    for _ in range(10):
        model.write_work_state(1)
        model.step(1)
    assert model.state is State.START
    model.clear_error()
    assert model.state is State.START


async def test_other_unit_gets_no_answer(client: AsyncModbusTcpClient) -> None:
    """Another unit ID is met with silence."""
    with pytest.raises(ModbusIOException):
        await client.read_input_registers(STATUS_BLOCK, count=1, device_id=9)


async def test_healthy_words(client: AsyncModbusTcpClient) -> None:
    """System state Start, battery state Start, readiness bits set, 62 %, energies with the low word first."""
    status, battery = await words(client, STATUS_BLOCK, 25), await words(client, BATTERY_BLOCK, len(BATTERY_ADDRESSES))
    assert status[0] == 4
    assert status[1] == 0b110_0000_0000
    assert status[2] == 0b1_0111
    assert status[3] >> 14 & 1  # Mains OK in the documented layout
    assert battery[BATTERY_STATE - BATTERY_BLOCK] == 3
    assert battery[SOC - BATTERY_BLOCK] == 62
    assert battery[ALLOWED_CHARGE - BATTERY_BLOCK] == 1000  # a magnitude in steps of 100 W
    assert battery[CHARGE_ENERGY - BATTERY_BLOCK :][:4] == [112_345 & 0xFFFF, 1, 100_000 & 0xFFFF, 1]
    assert abs(battery[BATTERY_VOLTAGE - BATTERY_BLOCK] - status[8]) < 20  # both in steps of 0.1 V


async def test_shifted_layout(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """In the shifted layout Mains OK is bit 13 and bit 14 is clear; the lower bits stay."""
    documented = (await words(client, INVERTER_STATUS, 1))[0]
    sim.model.shifted = True
    shifted = (await words(client, INVERTER_STATUS, 1))[0]
    assert shifted & 0xF == documented & 0xF
    assert shifted >> 7 == documented >> 8


async def test_charging_is_negative(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """A setpoint of -20 kW charges: power reads -200 in words of 100 W, and the state of charge rises."""
    sim.model.total_w = -20_000
    sim.model.step(3600)
    status = await words(client, STATUS_BLOCK, 25)
    assert status[0x0D] == 0x10000 - 200
    assert sum((word ^ 0x8000) - 0x8000 for word in status[0x0E:0x11]) == -200
    assert pytest.approx(sim.model.soc, abs=0.1) == 62 + 20 * 0.95 / 130 * 100
    assert sim.model.charged_kwh == pytest.approx(112_365, abs=0.1)


async def test_power_ends_at_full_and_empty(sim: Simulator) -> None:
    """Allowed charge tapers to 0 at 100 %, allowed discharge at 0 %."""
    sim.model.total_w = -100_000
    sim.model.step(3 * 3600)
    assert sim.model.soc > 99.5
    assert sim.model.allowed_discharge_w == 100_000
    sim.model.total_w = 100_000
    sim.model.step(6 * 3600)
    assert sim.model.soc < 0.5
    assert sim.model.power_w < 5_000


@pytest.mark.parametrize(("soc", "setpoint"), [(100, 3_000), (0, -3_000)])
def test_dead_band(soc: float, setpoint: float) -> None:
    """Full or empty, it cannot hold a power within 5 kW."""
    model = Model(soc=soc, total_w=setpoint)
    model.step(5)
    assert model.power_w == 0
    model.total_w = setpoint * 2
    model.step(5)
    assert abs(model.power_w) == pytest.approx(6_000, rel=0.01)


def test_states_from_power_on() -> None:
    """Stop, Init, Pre-operation and Standby follow by themselves, and no further."""
    model, seen = Model(state=State.STOP), []
    model._in_state = 0
    for _ in range(60):
        model.step(1)
        seen.append(model.state)
    assert list(dict.fromkeys(seen)) == [State.STOP, State.INIT, State.PRE_OPERATION, State.STANDBY]


async def test_start_works_in_standby_alone(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """START is taken in Standby; in Pre-operation it does nothing; STOP leads back to Standby."""
    sim.model.state = State.PRE_OPERATION
    await client.write_registers(WORK_STATE, [1])
    assert (await words(client, BATTERY_STATE, 1)) == [0]
    sim.model.state = State.STANDBY
    await client.write_registers(WORK_STATE, [1])
    assert (await words(client, BATTERY_STATE, 1)) == [2]
    sim.model.step(10)
    assert (await words(client, SYSTEM_STATE, 1)) == [4]
    await client.write_register(WORK_STATE, 0)
    assert (await words(client, SYSTEM_STATE, 1)) == [3]


async def test_power_during_start_is_an_error(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """Power that is commanded while the system starts raises a fault; a reset after zero clears it."""
    sim.model.state = State.STANDBY
    await client.write_registers(ACTIVE_SETPOINT, [100])
    await client.write_registers(WORK_STATE, [1])
    sim.model.step(2)
    status = await words(client, STATUS_BLOCK, 25)
    assert (status[0], status[4]) == (5, 0x0451)
    assert (await words(client, ERROR_LOG_1, 1)) == [0x0451]
    await client.write_registers(ERROR_RESET, [1])
    assert (await words(client, SYSTEM_STATE, 1)) == [5]  # the cause is still there
    await client.write_registers(ACTIVE_SETPOINT, [0])
    await client.write_registers(ERROR_RESET, [0])
    await client.write_registers(ERROR_RESET, [1])
    assert (await words(client, SYSTEM_STATE, 1)) == [1]


async def test_setpoints_are_kept_and_logged(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """Phases are written in one request, read back, kept indefinitely, and every write is in the log."""
    await client.write_registers(ACTIVE_SETPOINT_L1, [10, 0xFFF6, 5])
    sim.model.step(86_400)
    assert (await client.read_holding_registers(ACTIVE_SETPOINT_L1, count=3)).registers == [10, 0xFFF6, 5]
    assert [(one.function, one.address, one.values, one.outcome) for one in sim.write_log] == [
        (16, ACTIVE_SETPOINT_L1, (10, 0xFFF6, 5), "done")
    ]


async def test_writes_can_be_refused_or_ignored(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """A refused write has exception 4, an ignored one is acknowledged; neither takes effect."""
    sim.behaviour.writes = "refused"
    assert (await client.write_registers(ACTIVE_SETPOINT, [10])).exception_code == 4
    sim.behaviour.writes = "ignored"
    assert not (await client.write_registers(ACTIVE_SETPOINT, [10])).isError()
    assert (await client.read_holding_registers(ACTIVE_SETPOINT, count=1)).registers == [0]
    assert [one.outcome for one in sim.write_log] == ["refused", "ignored"]


async def test_second_master(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """Another system's setpoint comes back whatever is written."""
    await carry_out(sim, {"do": "second_master", "watts": 5000})
    await client.write_registers(ACTIVE_SETPOINT, [10])
    await asyncio.sleep(0.3)
    assert (await client.read_holding_registers(ACTIVE_SETPOINT, count=1)).registers == [50]


async def test_alarms_values_and_unknown_bits(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """A value that a scenario holds is read until it is released."""
    for command in (
        {"do": "alarm", "key": "fog_alarm"},
        {"do": "bits", "key": "battery_fault_9", "mask": 1},
        {"do": "value", "key": "battery_lowest_temperature", "value": -5},
        {"do": "raw", "address": SOC, "word": 255},
    ):
        await carry_out(sim, command)
    battery = await words(client, BATTERY_BLOCK, len(BATTERY_ADDRESSES))
    assert battery[BATTERY_FAULT_10 - BATTERY_BLOCK] == 1 << 7
    assert battery[BATTERY_FAULT_9 - BATTERY_BLOCK] == 1
    assert battery[LOWEST_TEMPERATURE - BATTERY_BLOCK] == 0x10000 - 5
    assert battery[SOC - BATTERY_BLOCK] == 255
    await carry_out(sim, {"do": "release"})
    assert (await words(client, BATTERY_FAULT_10, 1)) == [0]


@pytest.mark.parametrize(
    "fault",
    [
        {"do": "silence"},
        {"do": "half_open"},
        {"do": "delay", "seconds": 2},
        {"do": "drop"},
        {"do": "disturb", "how": "garbage"},
        {"do": "disturb", "how": "short_frame"},
        {"do": "disturb", "how": "wrong_unit"},
        {"do": "disturb", "how": "wrong_transaction"},
        {"do": "disturb", "how": "missing_bytes"},
        {"do": "reset"},
        {"do": "vanish"},
        {"do": "lagging"},
        {"do": "silent_block", "from": 0x100, "to": 0x100},
    ],
    ids=lambda one: one.get("how", one["do"]),
)
async def test_wire_faults(client: AsyncModbusTcpClient, sim: Simulator, fault: dict[str, object]) -> None:
    """A fault on the wire leaves the client without an answer; after repair, a new connection gets one."""
    await carry_out(sim, fault)
    with pytest.raises(Exception, match=r"."):
        await client.read_input_registers(STATUS_BLOCK, count=1)
    await carry_out(sim, {"do": "heal"})
    client.close()
    assert await client.connect()
    assert (await words(client, SYSTEM_STATE, 1)) == [4]


@pytest.mark.parametrize(
    ("fault", "code"),
    [({"do": "exception", "code": 6}, 6), ({"do": "refuse_block", "from": 0x100, "to": 0x118}, 2)],
    ids=["busy", "refused"],
)
async def test_exceptions(client: AsyncModbusTcpClient, sim: Simulator, fault: dict[str, object], code: int) -> None:
    """Exceptions come as they are asked for."""
    await carry_out(sim, fault)
    assert (await client.read_input_registers(STATUS_BLOCK, count=1)).exception_code == code


async def test_cable(sim: Simulator) -> None:
    """A pulled cable refuses connections; put in again it is the same port."""
    port = sim.port
    await sim.unplug()
    with pytest.raises(OSError, match=r"refused|failed"):
        await asyncio.open_connection("127.0.0.1", port)
    await sim.plug()
    assert sim.port == port
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


@pytest.mark.parametrize(
    "wrong", [{}, {"do": "x"}, {"do": "alarm"}, {"do": "alarm", "key": "x"}, {"do": "disturb", "how": "x"}]
)
async def test_wrong_commands(sim: Simulator, wrong: dict[str, str]) -> None:
    """A command that makes no sense is refused by name."""
    with pytest.raises(ValueError, match=r"."):
        await carry_out(sim, wrong)


async def test_example_scenario(sim: Simulator) -> None:
    """Every step of the example can be carried out, and the help names every command."""
    for command in json.loads(EXAMPLE.read_text()):
        await carry_out(sim, {key: value for key, value in command.items() if key != "at"})
    assert all(f'"do": "{name}"' in HELP for name in COMMANDS)


async def test_requests_get_lost_from_a_write_of_zero_on(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """Requests before it arrive, then so many do not, and then they do again."""
    await carry_out(sim, {"do": "lose", "requests": 2})
    await client.write_registers(ACTIVE_SETPOINT, [10])
    for _ in range(2):
        with pytest.raises(ModbusIOException):
            await client.write_registers(ACTIVE_SETPOINT, [0])
        await client.connect()
    assert (await client.read_holding_registers(ACTIVE_SETPOINT, count=1)).registers == [10]
    await client.write_registers(ACTIVE_SETPOINT, [0])
    assert sim.model.total_w == 0


async def test_gateway_with_one_client(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """Another client is turned away while the first one is served."""
    await carry_out(sim, {"do": "clients", "most": 1})
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    assert (await client.read_holding_registers(ACTIVE_SETPOINT, count=1)).registers == [0]


async def test_what_was_served(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """Each new answer is kept once; commands of a batch are in force together."""
    for _ in range(2):
        await words(client, BATTERY_FAULT_10, 1)
        await words(client, SYSTEM_ERROR_1, 1)
    await carry_out(
        sim, {"do": "batch", "commands": [{"do": "alarm", "key": "fog_alarm"}, {"do": "soc", "percent": 9}]}
    )
    await words(client, BATTERY_FAULT_10, 1)
    served = [(BATTERY_FAULT_10, (0,)), (SYSTEM_ERROR_1, (0x600,)), (BATTERY_FAULT_10, (1 << 7,))]
    assert await carry_out(sim, {"do": "served"}) == served
    assert sim.model.soc == 9


async def test_silent_block_takes_writes(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """Registers that cannot be read can be written."""
    await carry_out(sim, {"do": "silent_block", "from": ACTIVE_SETPOINT, "to": ACTIVE_SETPOINT})
    await client.write_registers(ACTIVE_SETPOINT, [10])
    assert sim.model.total_w == 1_000


@pytest.mark.parametrize(
    ("how", "count"), [("too_many_words", 125), ("twice", 25), ("in_pieces", 25), ("garbage_after", 25)]
)
async def test_answers_that_can_be_read(client: AsyncModbusTcpClient, sim: Simulator, how: str, count: int) -> None:
    """Some disturbances leave the words in place, and some bring more of them than were asked for."""
    await carry_out(sim, {"do": "disturb", "how": how})
    assert len(await words(client, SYSTEM_STATE, 25)) == count


async def test_wrong_function(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """A read of input registers is answered as one of holding registers, and the other way round."""
    await carry_out(sim, {"do": "disturb", "how": "wrong_function"})
    assert (await client.read_input_registers(SYSTEM_STATE, count=1)).function_code == 3
    assert (await client.read_holding_registers(WORK_STATE, count=1)).function_code == 4


async def test_old_words(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """An age brings back what was read then."""
    await asyncio.sleep(0.3)
    sim.model.soc = 30
    await carry_out(sim, {"do": "age", "seconds": 60})
    assert (await words(client, SOC, 1)) == [62]
    await carry_out(sim, {"do": "heal"})
    assert (await words(client, SOC, 1)) == [30]


async def test_flood(client: AsyncModbusTcpClient, sim: Simulator) -> None:
    """Every register reads the same word until it is released."""
    await carry_out(sim, {"do": "flood", "word": 0xFFFF})
    assert set(await words(client, SYSTEM_STATE, 25)) == {0xFFFF}
    assert (await client.read_holding_registers(ACTIVE_SETPOINT, count=1)).registers == [0xFFFF]
    await carry_out(sim, {"do": "release"})
    assert (await words(client, SYSTEM_STATE, 1)) == [4]


@pytest.mark.parametrize("keeps", [False, True])
async def test_reboot(client: AsyncModbusTcpClient, sim: Simulator, keeps: bool) -> None:
    """It is away after the write, which has taken effect, and comes up in Stop with its setpoint lost or kept."""
    await carry_out(sim, {"do": "reboot", "during": "write", "seconds": 0.3, "keeps": keeps})
    assert (await words(client, SYSTEM_STATE, 1)) == [4]
    with pytest.raises(ModbusIOException):
        await client.write_registers(ACTIVE_SETPOINT, [10])
    assert sim.write_log[-1].values == (10,)
    await asyncio.sleep(1)
    assert not sim.rebooting
    client.close()
    assert await client.connect()
    assert (await words(client, SYSTEM_STATE, 1)) == [0]
    assert sim.model.total_w == (1_000 if keeps else 0)


async def test_serial_line() -> None:
    """The line of pseudo-terminals can be disturbed, pulled, and put in again at the same path."""
    async with Simulator(tcp=None, pty=True, speed=0) as sim:
        path = sim.serial_port

        async def soc() -> list[int]:
            port = AsyncModbusSerialClient(path, timeout=0.5, retries=0, reconnect_delay=0)
            assert await port.connect()
            try:
                return (await port.read_input_registers(SOC, count=1)).registers
            finally:
                port.close()

        assert await soc() == [62]
        await carry_out(sim, {"do": "disturb", "how": "wrong_checksum"})
        with pytest.raises(ModbusIOException):
            await soc()
        await carry_out(sim, {"do": "heal"})
        await carry_out(sim, {"do": "unplug"})
        with pytest.raises(AssertionError):
            await soc()
        await carry_out(sim, {"do": "plug"})
        assert await soc() == [62]

"""A diagnostics download served as a device: the integration shows from it what the file says."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from pymodbus.client import AsyncModbusTcpClient
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.refu_ess import const
from custom_components.refu_ess.ess import InverterStatusLayout

from .registers import WHOLE_BATTERY
from .simulator import Model, Replay, Simulator, State, carry_out

pytestmark = pytest.mark.usefixtures("socket_enabled")

ROOT = Path(__file__).parents[1]
POLLS = 4
"""After these a layout is disproved, and a counter is believed."""
SAME = ("channels", "derived", "conditions", "registers", "unknown_bits", "inverter_status_layout")
"""Sections of a download that a replay reproduces; not the alarms, whose times differ."""


async def shown(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, sim: Simulator, options: dict[str, Any]
) -> dict[str, Any]:
    """Set an ESS up, poll it, and return its whole diagnostics download."""
    data = {"transport": "tcp", "host": "127.0.0.1", "port": sim.port, "unit_id": 1, "share_connection": False}
    entry = MockConfigEntry(domain=const.DOMAIN, title="REFU ESS", data=data, options=options)
    entry.add_to_hass(hass)
    assert await async_setup_component(hass, "diagnostics", {})
    assert await hass.config_entries.async_setup(entry.entry_id)
    for _ in range(POLLS - 1):
        await entry.runtime_data.async_refresh()
    response = await (await hass_client()).get(f"/api/diagnostics/config_entry/{entry.entry_id}")
    found: dict[str, Any] = await response.json()
    assert await hass.config_entries.async_remove(entry.entry_id)
    return found


def alarms(data: dict[str, Any]) -> list[tuple[str, str, str, int]]:
    """Return the active alarms without their times."""
    return [(one["key"], one["text"], one["word"], one["bit"]) for one in data["alarms"]["active"]]


CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "healthy": ({}, []),
    "alarms": (
        {"battery_groups": 3},
        [
            {"do": "alarm", "key": "fog_alarm"},
            {"do": "alarm", "key": "normal_high_temperature"},
            {"do": "alarm", "key": "group_3_can_interrupted"},
            {"do": "alarm", "key": "bms_ready", "on": False},
        ],
    ),
    "undeclared": (
        {},
        [
            {"do": "raw", "address": 0x134, "word": 0xBEEF},
            {"do": "bits", "key": "battery_fault_9", "mask": 1},
            {"do": "raw", "address": 0x142, "word": 0x8001},
            {"do": "raw", "address": 0x100, "word": 77},
        ],
    ),
    "implausible": (
        {},
        [
            {"do": "raw", "address": 0x121, "word": 255},
            {"do": "raw", "address": 0x124, "word": 0xFFFF},
            {"do": "value", "key": "battery_voltage", "value": 50},
        ],
    ),
    "other_layout": ({}, [{"do": "power", "watts": 20_000}]),
    "refused_battery": (
        {},
        [{"do": "refuse_block", **WHOLE_BATTERY}],
    ),
    "refused_settings": ({}, [{"do": "refuse_block", "from": 0x208, "to": 0x20A}]),
}


@pytest.mark.parametrize("case", CASES)
async def test_round_trip(hass: HomeAssistant, hass_client: ClientSessionGenerator, tmp_path: Path, case: str) -> None:
    """Values, alarms and conditions are the same, for a file with undeclared words and failed blocks too."""
    options, commands = CASES[case]
    model = Model(shifted=case == "other_layout")
    async with Simulator(model, speed=0) as sim:
        for command in commands:
            await carry_out(sim, command)
        model.step(60)
        first = await shown(hass, hass_client, sim, options)
    (file := tmp_path / "diagnostics.json").write_text(json.dumps(first))
    async with Simulator(speed=0, replay=Replay.read(file)) as sim:
        second = await shown(hass, hass_client, sim, first["data"]["entry"]["options"])
    first, second = first["data"], second["data"]
    for part in SAME:
        assert second[part] == first[part]
    assert alarms(second) == alarms(first)
    assert second["alarms"]["complete"] == first["alarms"]["complete"]
    assert {name: block["available"] for name, block in second["blocks"].items()} == {
        name: block["available"] for name, block in first["blocks"].items()
    }
    see(case, second)


def see(case: str, data: dict[str, Any]) -> None:
    """Look whether the case was what it is called."""
    match case:
        case "alarms":
            assert {key for key, *_ in alarms(data)} == {entry["key"] for entry in CASES[case][1]}
        case "undeclared":
            assert data["registers"]["input"]["0x0134"] == "0xBEEF"
            assert data["unknown_bits"] == {"battery_fault_9": "0x0001"}
            assert data["channels"]["SystemState"]["value"] is None
        case "implausible":
            assert data["channels"]["Soc"]["value"] is None
            assert data["channels"]["BatteryVoltage"]["value"] is None
        case "other_layout":
            assert data["inverter_status_layout"] == {"chosen": "documented", "suggested": "shifted"}
        case "refused_battery":
            assert "0x0121" not in data["registers"]["input"]
            assert data["channels"]["Soc"]["available"] is False
        case "refused_settings":
            assert data["blocks"]["phase_setpoints"]["error"] == "IllegalDataAddressError"
            assert data["channels"]["SetActivePowerL1"]["available"] is True
        case _:
            assert alarms(data) == []
            assert data["channels"]["Soc"]["value"] == 62


def download(**registers: dict[str, str]) -> dict[str, Any]:
    """Return the data of a download with these registers."""
    return {"registers": registers, "inverter_status_layout": {"chosen": "shifted"}, "entry": {"options": {"a": 1}}}


def test_both_shapes() -> None:
    """A file as Home Assistant makes it and the data in it are the same."""
    data = download(input={"0x0100": "0x0004"}, holding={"0x0203": "0xFF38"})
    found = Replay.of(data)
    assert found == Replay.of({"home_assistant": {}, "data": data})
    assert (found.words, found.shifted, found.options) == ({0x100: 4, 0x203: 0xFF38}, True, {"a": 1})


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "no json",
        "{}",
        '{"data": {"state": "setup_retry"}}',
        '{"registers": {"input": {"0x0100": "0x10000"}}}',
        '{"registers": {"input": {"0x0100": "four"}}}',
    ],
)
def test_other_files(tmp_path: Path, text: str) -> None:
    """A file that is not a download with registers is refused."""
    (file := tmp_path / "other.json").write_text(text)
    with pytest.raises(ValueError, match=r"."):
        Replay.read(file)


async def test_scenarios_and_writes_on_a_replay() -> None:
    """Bits and values of a scenario are laid over the words; a setpoint that is written is read back, no more."""
    words = dict.fromkeys((*range(0x100, 0x119), 0x203), 0) | {0x101: 0b1, 0x103: 1 << 7}
    async with Simulator(speed=0, replay=Replay(words, shifted=True, options={})) as sim:
        await carry_out(sim, {"do": "alarm", "key": "bms_in_error", "on": False})
        await carry_out(sim, {"do": "alarm", "key": "mains_ok"})
        await carry_out(sim, {"do": "value", "key": "active_power", "value": -20_000})
        client = AsyncModbusTcpClient("127.0.0.1", port=sim.port, timeout=1, retries=0, reconnect_delay=0)
        assert await client.connect()
        await client.write_registers(0x203, [50])
        status = (await client.read_input_registers(0x100, count=25)).registers
        assert (status[1], status[3], status[13]) == (0, 1 << 13 | 1 << 7, 0x10000 - 200)
        assert (await client.read_holding_registers(0x203, count=1)).registers == [50]
        assert (await client.read_holding_registers(0x200, count=1)).exception_code == 2
        assert (await client.read_input_registers(0x11A, count=60)).exception_code == 2
        client.close()
    assert sim.model.state is State.START


async def test_command_line(tmp_path: Path) -> None:
    """The program serves a file, says what is in it, and names a file that is none."""

    async def run(file: Path) -> asyncio.subprocess.Process:
        arguments = ("-m", "tests.simulator", "--tcp", "127.0.0.1:0", "--replay", str(file))
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=pipe, stderr=pipe)

    (file := tmp_path / "file.json").write_text(json.dumps(download(input={"0x0100": "0x0004"})))
    process = await run(file)
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b'replay: 1 registers; options of the ESS: {"a": 1}\n'
        port = int((await process.stdout.readline()).rpartition(b":")[2])
        client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=5, retries=0, reconnect_delay=0)
        assert await client.connect()
        assert (await client.read_input_registers(0x100, count=1)).registers == [4]
        client.close()
    finally:
        process.terminate()
        await process.wait()
    (file := tmp_path / "other.json").write_text("{}")
    process = await run(file)
    _, told = await process.communicate()
    assert process.returncode == 1
    assert b"there are no registers in it" in told


def test_layouts() -> None:
    """The layouts of InverterStatus have the names that a download gives them."""
    assert [layout.slug for layout in InverterStatusLayout] == ["documented", "shifted"]

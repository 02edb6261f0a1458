"""The diagnostics download: what a maintainer needs to see, and nothing that tells where it stands."""

import json
from pathlib import Path

from homeassistant.core import HomeAssistant
from modbus_connection import IllegalDataAddressError, ModbusTimeoutError
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.diagnostics import get_diagnostics_for_config_entry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator
from syrupy.assertion import SnapshotAssertion

from .conftest import HOST

REGISTER_MAP = json.loads((Path(__file__).parent / "fixtures" / "register_map.json").read_text())


async def test_everything_is_there(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    loaded: MockConfigEntry,
    snapshot: SnapshotAssertion,
) -> None:
    """Every channel of the channel table is there under its own name, shown by at least one entity."""
    found = await get_diagnostics_for_config_entry(hass, hass_client, loaded)
    channels = found["channels"]
    assert set(channels) == {channel["name"] for channel in REGISTER_MAP["channels"]}
    assert [name for name, channel in channels.items() if not channel["entities"]] == []
    assert HOST not in json.dumps(found)
    assert found == snapshot


async def test_one_channel(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, loaded: MockConfigEntry, unit: MockModbusUnit
) -> None:
    """A word is given raw, with the bits that are set and those that nobody declared."""
    unit.input[0x101] = 0b1000_0110_0000_0001
    await loaded.runtime_data.async_refresh()
    found = await get_diagnostics_for_config_entry(hass, hass_client, loaded)
    error = found["channels"]["SystemError1"]
    assert error["raw"] == [0b1000_0110_0000_0001]
    assert error["bits"] == ["BMS In Error", "BMS Ready", "TREX Ready"]
    assert "binary_sensor.refu_ess_bms_error" in error["entities"]
    assert found["unknown_bits"] == {"system_error_1": "0x8000"}
    assert found["channels"]["Warning"]["bits"] == ["BMS error"]
    assert found["channels"]["BatteryDischargeEnergy"] == {
        "raw": [0x86A0, 1],
        "value": 100_000,
        "unit": "kWh",
        "available": True,
        "entities": ["sensor.refu_ess_battery_discharge_energy"],
    }


async def test_before_the_device_answered(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    entry: MockConfigEntry,
    link: object,
    unit: MockModbusUnit,
) -> None:
    """The download works while the set-up is tried again, and says why it failed."""
    unit.fail_requests(ModbusTimeoutError("late"))
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    found = await get_diagnostics_for_config_entry(hass, hass_client, entry)
    assert (found["state"], found["reason"]) == ("setup_retry", "no_answer")
    assert HOST not in json.dumps(found)


async def test_while_the_device_is_gone(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, loaded: MockConfigEntry, unit: MockModbusUnit
) -> None:
    """The download works without the device and says what failed, not where."""
    unit.fail_read(0x11A, IllegalDataAddressError(), register_type="input")
    await loaded.runtime_data.async_refresh()
    unit.fail_requests(ModbusTimeoutError(f"no answer from {HOST}"))
    await loaded.runtime_data.async_refresh()
    found = await get_diagnostics_for_config_entry(hass, hass_client, loaded)
    assert found["blocks"]["status"] == {"available": False, "error": "ModbusTimeoutError"}
    assert found["channels"]["ActivePower"]["available"] is False
    assert found["link"]["errors"] == {"IllegalDataAddressError": 1, "ModbusTimeoutError": 2}
    assert HOST not in json.dumps(found)

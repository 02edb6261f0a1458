"""The diagnostics download: what a maintainer needs to see, and nothing that reveals its location."""

import json
from importlib.metadata import version

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import __version__
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import entity_registry as er
from homeassistant.loader import async_get_integration
from modbus_connection import IllegalDataAddressError, ModbusTimeoutError
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed
from pytest_homeassistant_custom_component.components.diagnostics import get_diagnostics_for_config_entry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator
from syrupy.assertion import SnapshotAssertion

from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.diagnostics import async_get_config_entry_diagnostics

from .conftest import HOST
from .registers import BATTERY_ADDRESSES, BATTERY_BLOCK, REGISTER_MAP, STATUS_ADDRESSES, SYSTEM_ERROR_1


async def test_everything_is_there(
    hass: HomeAssistant,
    loaded: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    snapshot: SnapshotAssertion,
) -> None:
    """Every channel of the channel table is there under its own name, with the key of an entity."""
    freezer.move_to("2040-01-02T12:00:00+00:00")
    await loaded.runtime_data.async_refresh()
    found = await async_get_config_entry_diagnostics(hass, loaded)
    channels = found["channels"]
    assert set(channels) == {channel["name"] for channel in REGISTER_MAP["channels"]}
    registry = er.async_entries_for_config_entry(er.async_get(hass), loaded.entry_id)
    assert {channel["key"] for channel in channels.values()} <= {
        entity.unique_id.removeprefix(f"{loaded.entry_id}_") for entity in registry
    }
    integration = await async_get_integration(hass, DOMAIN)
    assert found.pop("versions") == {
        "refu_ess": integration.version,
        "home_assistant": __version__,
        "modbus-connection": version("modbus-connection"),
        "pymodbus": version("pymodbus"),
    }
    assert found["link"].pop("since") < found["made_at"]
    assert found == snapshot


async def test_every_word(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, loaded: MockConfigEntry, unit: MockModbusUnit
) -> None:
    """Whole blocks are there in hexadecimal, undeclared words too, and nothing that is not read."""
    unit.input[0x134] = 0xBEEF
    await loaded.runtime_data.async_refresh()
    found = await get_diagnostics_for_config_entry(hass, hass_client, loaded)
    registers = found["registers"]
    addresses = [*STATUS_ADDRESSES, *BATTERY_ADDRESSES]
    assert [int(address, 16) for address in registers["input"]] == addresses
    assert [int(address, 16) for address in registers["holding"]] == [*range(0x200, 0x20B)]
    assert registers["input"]["0x0134"] == "0xBEEF"
    assert {int(registers["input"][f"0x{address:04X}"], 16) == unit.input.get(address, 0) for address in addresses} == {
        True
    }
    assert found["stale_registers"] == {"input": {}, "holding": {}}


async def test_one_channel(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, loaded: MockConfigEntry, unit: MockModbusUnit
) -> None:
    """A channel names its registers, the bits that are set, and undeclared ones."""
    unit.input[SYSTEM_ERROR_1] = 0b1000_0110_0000_0001
    await loaded.runtime_data.async_refresh()
    found = await get_diagnostics_for_config_entry(hass, hass_client, loaded)
    assert found["channels"]["SystemError1"] == {
        "key": "system_error_1",
        "registers": ["0x0101"],
        "value": 0b1000_0110_0000_0001,
        "unit": None,
        "available": True,
        "bits": ["BMS In Error", "BMS Ready", "TREX Ready"],
    }
    assert found["unknown_bits"] == {"system_error_1": "0x8000"}
    assert found["channels"]["Warning"]["bits"] == ["BMS error"]
    assert found["channels"]["BatteryDischargeEnergy"] == {
        "key": "battery_discharge_energy",
        "registers": ["0x0128", "0x0129"],
        "value": 100_000,
        "unit": "kWh",
        "available": True,
    }


async def test_last_writes(
    hass: HomeAssistant,
    loaded: MockConfigEntry,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
) -> None:
    """A setpoint that is repeated is one line: its value, how often, since when and until when; the newest first."""
    freezer.move_to("2040-01-02T12:00:00+00:00")
    await loaded.runtime_data.async_refresh()
    await hass.services.async_call(DOMAIN, "set_power", {"active_power": 20_000}, blocking=True)
    for _ in range(20):
        freezer.tick(1.0)
        async_fire_time_changed(hass)
        await hass.async_block_till_done()
    found = await async_get_config_entry_diagnostics(hass, loaded)
    assert len(found["last_writes"]) < 10
    power = [one for one in found["last_writes"] if one["address"] == "0x0203"]
    assert (power[0]["words"], power[0]["values"]) == (["0x00C8"], {"set_active_power": "20000 W"})
    assert power[0]["count"] > 15
    assert (power[0]["outcome"], power[0]["last"][:16]) == ("done", "2040-01-02T12:00")
    assert power[0]["first"] < power[0]["last"]
    times = [one["last"] for one in found["last_writes"]]
    assert times == sorted(times, reverse=True)


async def test_commands(
    hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """The latest events of control are there with their times, the newest first."""
    freezer.move_to("2040-01-02T12:00:00+00:00")
    await loaded.runtime_data.async_refresh()
    await hass.services.async_call(DOMAIN, "set_power", {"active_power": 20_000}, blocking=True)
    with pytest.raises(ServiceValidationError):
        await hass.services.async_call(DOMAIN, "reset_error", {}, blocking=True)
    freezer.tick(1)
    await hass.services.async_call(DOMAIN, "release", {}, blocking=True)
    found = (await async_get_config_entry_diagnostics(hass, loaded))["commands"]
    assert [(one["at"][17:19], one["event"]) for one in found] == [
        ("01", "lease_ended"),
        ("00", "refused"),
        ("00", "lease_taken"),
    ]
    assert found[0]["reason"] == "released"
    assert found[1]["reason"] == "no_error"
    assert len(json.dumps(found)) < 2000


async def test_a_poll_that_works_has_no_error(
    hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit
) -> None:
    """The error is that of a failed poll; the link keeps the time of the last one."""
    unit.fail_requests(ModbusTimeoutError("silent"))
    await loaded.runtime_data.async_refresh()
    found = await async_get_config_entry_diagnostics(hass, loaded)
    assert (found["poll"]["successful"], found["poll"]["error"]) == (False, "no_answer")
    unit.fail_requests(None)
    await loaded.runtime_data.async_refresh()
    found = await async_get_config_entry_diagnostics(hass, loaded)
    assert (found["poll"]["successful"], found["poll"]["error"]) == (True, None)
    assert found["link"]["last_error"] is not None


async def test_before_the_device_answered(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    entry: MockConfigEntry,
    link: object,
    unit: MockModbusUnit,
) -> None:
    """The download works while the setup is tried again, and says why it failed."""
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
    unit.fail_read(BATTERY_BLOCK, IllegalDataAddressError(), register_type="input")
    await loaded.runtime_data.async_refresh()
    unit.fail_requests(ModbusTimeoutError(f"no answer from {HOST}"))
    await loaded.runtime_data.async_refresh()
    found = await get_diagnostics_for_config_entry(hass, hass_client, loaded)
    assert found["blocks"]["status"].items() >= {"available": False, "error": "ModbusTimeoutError"}.items()
    assert found["channels"]["ActivePower"]["available"] is False
    assert found["link"]["errors"] == {"IllegalDataAddressError": 1, "ModbusTimeoutError": 2}
    assert (found["poll"]["successful"], found["poll"]["error"]) == (False, "no_answer")
    assert found["registers"] == {"input": {}, "holding": {}}
    assert found["stale_registers"]["input"]["0x0121"] == "0x003E"  # what was known last, for whom it helps
    assert HOST not in json.dumps(found)

"""Home Assistant, the device and the gateway before it restart in every order; neighbours on the wire go on too."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import permutations
from typing import Any

import pytest
from homeassistant.components.modbus import async_get_unit
from homeassistant.config_entries import ConfigEntry, ConfigEntryState, ConfigFlow
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from modbus_connection import ModbusError, ModbusTcpParams, ModbusUnit
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockModule,
    async_fire_time_changed,
    mock_config_flow,
    mock_integration,
    mock_platform,
)

from custom_components.refu_ess import connection, const
from custom_components.refu_ess.ess import link

from .helpers import state
from .registers import SOC as SOC_ADDRESS
from .simulator import Simulator
from .simulator.cable import Cable

pytestmark = pytest.mark.usefixtures("socket_enabled")

SOC = "sensor.refu_ess_battery_state_of_charge_soc"
OF_YAML = "sensor.neighbour_in_yaml"
PARTS = ("home_assistant", "device", "gateway")
POWER_W = 20_000
PATIENCE_POLLS = 25
NEIGHBOUR = "neighbour"


class Neighbour:
    """Another integration that holds a unit on Home Assistant's shared connection."""

    unit: ModbusUnit

    async def async_setup_entry(self, hass: HomeAssistant, entry: ConfigEntry) -> bool:
        """Take a unit."""
        params = ModbusTcpParams(host="127.0.0.1", port=entry.data["port"])
        self.unit = async_get_unit(hass, entry, params, 1)
        return True

    async def async_unload_entry(self, hass: HomeAssistant, entry: ConfigEntry) -> bool:
        """Home Assistant takes the unit back."""
        return True

    async def async_read(self) -> int | None:
        """Return the state of charge, `None` if there is no answer."""
        try:
            async with asyncio.timeout(0.5):
                return (await self.unit.read_input_registers(SOC_ADDRESS, 1))[0]
        except ModbusError, TimeoutError:
            return None


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use shorter timeouts, but long enough for a machine that is busy with other tests."""
    monkeypatch.setattr(connection, "LINK_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(link, "DEADLINE_SECONDS", 0.7)
    monkeypatch.setattr("homeassistant.components.modbus.modbus.PRIMARY_RECONNECT_DELAY", 0.2)


@pytest.fixture(autouse=True)
async def _unheard(hass: HomeAssistant) -> None:
    """Let nobody hear of a link that fails to open after the way out has given up on it.

    The zero is cancelled then, so that it cannot arrive late, and asyncio reports what it waited for.
    """
    loop = asyncio.get_running_loop()
    told = loop.get_exception_handler()
    assert told is not None

    def tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "in shielded future" not in context["message"] or not isinstance(context.get("exception"), ModbusError):
            told(loop, context)

    loop.set_exception_handler(tell)


@pytest.fixture
def neighbour(hass: HomeAssistant) -> Iterator[Neighbour]:
    """The other integration, installed."""
    found = Neighbour()
    module = MockModule(
        NEIGHBOUR, async_setup_entry=found.async_setup_entry, async_unload_entry=found.async_unload_entry
    )
    mock_integration(hass, module, built_in=False)
    mock_platform(hass, f"{NEIGHBOUR}.config_flow")
    with mock_config_flow(NEIGHBOUR, ConfigFlow):
        yield found


class Plant:
    """The device, the gateway before it, and the entries of Home Assistant that reach them."""

    def __init__(self, hass: HomeAssistant, neighbour: Neighbour) -> None:
        """Nothing runs yet."""
        self.hass, self.neighbour = hass, neighbour
        self.device = Simulator(speed=0)
        self.gateway = Cable("127.0.0.1", 0)
        self.entries: list[MockConfigEntry] = []

    @property
    def ours(self) -> MockConfigEntry:
        """Our entry."""
        return self.entries[0]

    async def begin(self, *, shared: bool) -> None:
        """Set everything up through the gateway."""
        await self.gateway.plug(self.device.port)
        port = self.gateway.port
        sensor = {"name": "Neighbour in YAML", "address": SOC_ADDRESS, "input_type": "input", "scan_interval": 0}
        hub = {"name": "hub", "type": "tcp", "host": "127.0.0.1", "port": port, "timeout": 1, "sensors": [sensor]}
        assert await async_setup_component(self.hass, "homeassistant", {})
        assert await async_setup_component(self.hass, "modbus", {"modbus": [hub]})
        data = {"transport": "tcp", "host": "127.0.0.1", "port": port, "unit_id": 1, "share_connection": shared}
        options = {"start_delay": 0, "ramp_rate": 100, "guard": False}
        self.entries = [
            MockConfigEntry(domain=const.DOMAIN, title="REFU ESS", data=data, options=options),
            MockConfigEntry(domain=NEIGHBOUR, data={"port": port}),
        ]
        for entry in self.entries:
            entry.add_to_hass(self.hass)
            assert await self.hass.config_entries.async_setup(entry.entry_id)
        await self.hass.async_block_till_done()

    async def stop(self, part: str) -> None:
        """Take a part down."""
        if part == "device":
            await self.device.unplug()
        elif part == "gateway":
            await self.gateway.unplug()
        else:
            for entry in self.entries:
                await self.hass.config_entries.async_unload(entry.entry_id)

    async def start(self, part: str) -> None:
        """Bring it back as it was left; the device has forgotten its setpoints."""
        if part == "device":
            self.device.model.soc = 40
            await self.device.plug()
        elif part == "gateway":
            await self.gateway.plug(self.device.port)
        else:
            for entry in self.entries:
                await self.hass.config_entries.async_setup(entry.entry_id)

    async def look(self) -> tuple[str, int | None]:
        """Poll with both entries, and return what each shows of the state of charge."""
        async_fire_time_changed(self.hass, dt_util.utcnow())
        if self.ours.state is ConfigEntryState.LOADED:
            await self.ours.runtime_data.async_refresh()
        elif self.ours.state is ConfigEntryState.SETUP_RETRY:
            await self.hass.config_entries.async_reload(self.ours.entry_id)  # its timer would do so later
        theirs = None
        if self.entries[1].state is ConfigEntryState.LOADED:
            theirs = await self.neighbour.async_read()
        found = self.hass.states.get(SOC)
        return (STATE_UNAVAILABLE if found is None else found.state, theirs)

    async def look_in_yaml(self) -> str:
        """Poll with Home Assistant's own `modbus`, and return what it shows."""
        await self.hass.services.async_call("homeassistant", "update_entity", {"entity_id": OF_YAML}, blocking=True)
        return state(self.hass, OF_YAML)


@pytest.fixture
async def plant(hass: HomeAssistant, neighbour: Neighbour) -> AsyncIterator[Plant]:
    """A plant that is taken down at the end."""
    found = Plant(hass, neighbour)
    async with found.device:
        yield found
        await found.gateway.unplug()


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
@pytest.mark.parametrize("order", permutations(PARTS), ids="-".join)
async def test_restarts(hass: HomeAssistant, plant: Plant, order: tuple[str, ...], shared: bool) -> None:
    """With 20 kW held all three go down one after the other and come back in that order: nobody shows what is not so.

    Both links end with fresh readings, as do both neighbours, and with no power that nobody asks for any longer.
    """
    await plant.begin(shared=shared)
    assert (*await plant.look(), await plant.look_in_yaml()) == ("62", 62, "62")
    await asyncio.sleep(0.3)  # the ramp begins when the system is first seen running
    await hass.services.async_call(const.DOMAIN, "set_power", {"active_power": POWER_W}, blocking=True)
    assert plant.device.model.total_w == POWER_W
    ours, theirs = "", None
    for part in order:
        await plant.stop(part)
        ours, theirs = await plant.look()
        assert ours in {"62", STATE_UNAVAILABLE}
        assert theirs in {62, None}
    assert (ours, theirs) == (STATE_UNAVAILABLE, None)
    for part in order:
        await plant.start(part)
        ours, theirs = await plant.look()
        assert ours in {"40", STATE_UNAVAILABLE}
        assert theirs in {40, None}
    for _ in range(PATIENCE_POLLS):
        ours, theirs = await plant.look()
        if (ours, theirs) == ("40", 40):
            break
        await asyncio.sleep(0.2)
    assert (ours, theirs) == ("40", 40)
    for _ in range(PATIENCE_POLLS):
        if await plant.look_in_yaml() == "40":
            break
        await asyncio.sleep(0.2)
    assert state(hass, OF_YAML) == "40"
    assert plant.ours.state is ConfigEntryState.LOADED
    assert plant.ours.runtime_data.commander.lease is None
    assert plant.device.model.total_w == 0
    assert {write.function for write in plant.device.write_log} == {16}

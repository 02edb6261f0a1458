"""Config flow: asks for the connection, probes the device and reports errors. Nothing is written to it."""

import asyncio
import itertools
import socket
from collections.abc import Mapping
from typing import Any, cast, override

import voluptuous as vol
from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlow,
    ConfigFlowResult,
    OptionsFlowWithReload,
)
from homeassistant.const import CONF_DEVICE, CONF_HOST, CONF_NAME, CONF_PORT
from homeassistant.core import callback
from homeassistant.data_entry_flow import section
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectSelector,
    SelectSelectorConfig,
    SerialPortSelector,
    TextSelector,
)
from homeassistant.helpers.translation import async_get_translations
from homeassistant.loader import async_get_integration
from homeassistant.setup import async_setup_component
from modbus_connection import ModbusConnectionError, ModbusError

from . import options
from .connection import async_open_temporary_unit, endpoint, used_by_other_entry
from .const import (
    CONF_BAUDRATE,
    CONF_BYTESIZE,
    CONF_PARITY,
    CONF_SHARE_CONNECTION,
    CONF_STOPBITS,
    CONF_TRANSPORT,
    CONF_UNIT_ID,
    DEFAULT_BAUDRATE,
    DEFAULT_NAME,
    DEFAULT_PORT,
    DEFAULT_UNIT_ID,
    DOMAIN,
    PARITIES,
    SECTION_CONNECTION,
    TRANSPORT_RTU_OVER_TCP,
    TRANSPORT_SERIAL,
    TRANSPORT_TCP,
    TRANSPORTS,
)
from .errors import error_code, translation_key
from .ess import ProbeResult, async_probe

DIAGNOSIS_TIMEOUT_SECONDS = 3.0


class _WholeNumberSelector(NumberSelector):
    """A number without decimals; Home Assistant's own does not check its step."""

    @override
    def __call__(self, data: Any) -> int:
        value = super().__call__(data)
        if value % 1:
            raise vol.Invalid("expected a whole number")
        return int(value)


def _number(minimum: int, maximum: int) -> NumberSelector:
    config = NumberSelectorConfig(min=minimum, max=maximum, step=1, mode=NumberSelectorMode.BOX)
    return _WholeNumberSelector(config)


def _choice(choices: list[str], translation: str | None = None) -> SelectSelector:
    config = SelectSelectorConfig(options=choices)
    if translation is not None:
        config["translation_key"] = translation
    return SelectSelector(config)


CONNECTION = {
    vol.Required(SECTION_CONNECTION): section(
        vol.Schema(
            {
                vol.Required(CONF_UNIT_ID, default=DEFAULT_UNIT_ID): _number(1, 247),
                vol.Required(CONF_SHARE_CONNECTION, default=False): BooleanSelector(),
            }
        ),
        {"collapsed": True},
    )
}

ADDRESS: dict[vol.Marker, Any] = {
    vol.Required(CONF_HOST): vol.All(TextSelector(), vol.Strip, vol.Length(min=1)),
    vol.Required(CONF_PORT, default=DEFAULT_PORT): _number(1, 65535),
    **CONNECTION,
}

SERIAL: dict[vol.Marker, Any] = {
    vol.Required(CONF_DEVICE): SerialPortSelector(),
    vol.Required(CONF_BAUDRATE, default=DEFAULT_BAUDRATE): _number(300, 1_000_000),
    vol.Required(CONF_BYTESIZE, default="8"): vol.All(_choice(["7", "8"]), vol.Coerce(int)),
    vol.Required(CONF_PARITY, default="none"): _choice(list(PARITIES), CONF_PARITY),
    vol.Required(CONF_STOPBITS, default="1"): vol.All(_choice(["1", "2"]), vol.Coerce(int)),
    **CONNECTION,
}

FIELDS = {TRANSPORT_TCP: ADDRESS, TRANSPORT_RTU_OVER_TCP: ADDRESS, TRANSPORT_SERIAL: SERIAL}


def _flat(transport: str, user_input: dict[str, Any]) -> dict[str, Any]:
    """Return the entry's data from form input."""
    data: dict[str, Any] = {CONF_TRANSPORT: transport, **user_input}
    connection: dict[str, Any] = data.pop(SECTION_CONNECTION)
    return data | connection


def _sectioned(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry's data as form defaults."""
    fields = {key: str(value) if key in (CONF_BYTESIZE, CONF_STOPBITS) else value for key, value in data.items()}
    inner = {key: fields.pop(key) for key in (CONF_UNIT_ID, CONF_SHARE_CONNECTION)}
    return {**fields, SECTION_CONNECTION: inner}


async def _async_why_no_connection(data: Mapping[str, Any]) -> str:
    """Find out why a link could not be opened; the Modbus library does not say."""
    if data[CONF_TRANSPORT] == TRANSPORT_SERIAL:
        return "serial_port"
    try:
        async with asyncio.timeout(DIAGNOSIS_TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(data[CONF_HOST], data[CONF_PORT])
    except socket.gaierror, UnicodeError:
        return "no_such_host"
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "unreachable"
    writer.close()
    return "no_connection"


class RefuEssConfigFlow(ConfigFlow, domain=DOMAIN):
    """Sets up or reconfigures one ESS."""

    VERSION = 1

    def __init__(self) -> None:
        """Start without answers."""
        self._name = DEFAULT_NAME
        self._data: dict[str, Any] = {}
        self._probed: ProbeResult | None = None
        self._sharing_offered = False

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: ConfigEntry) -> RefuEssOptionsFlow:
        """Offer the options."""
        return RefuEssOptionsFlow()

    @override
    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the transport."""
        return self.async_show_menu(step_id="user", menu_options=TRANSPORTS)

    async def async_step_reconfigure(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the transport again; the entry keeps its identity."""
        return self.async_show_menu(step_id="reconfigure", menu_options=TRANSPORTS)

    async def async_step_tcp(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the address of a Modbus TCP device."""
        return await self._async_step_link(TRANSPORT_TCP, user_input)

    async def async_step_rtu_over_tcp(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the address of a serial gateway that passes RTU frames on."""
        return await self._async_step_link(TRANSPORT_RTU_OVER_TCP, user_input)

    async def async_step_serial(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the serial port."""
        # It lists the ports. Most systems have loaded it; for a network link it would be half a second for nothing.
        await async_setup_component(self.hass, "usb", {})
        return await self._async_step_link(TRANSPORT_SERIAL, user_input)

    async def _async_step_link(self, transport: str, user_input: dict[str, Any] | None) -> ConfigFlowResult:
        suggested: Mapping[str, Any] | None = user_input
        errors: dict[str, str] = {}
        placeholders: dict[str, str] = {}
        if user_input is not None:
            self._name = user_input.pop(CONF_NAME, self._name)
            self._data = _flat(transport, user_input)
            suggested = {CONF_NAME: self._name, **_sectioned(self._data)}
            if self._already_configured():
                return self.async_abort(reason="already_configured")
            if self._should_share():
                self._sharing_offered = True
                suggested = {CONF_NAME: self._name, **_sectioned(self._data | {CONF_SHARE_CONNECTION: True})}
                errors["base"] = "shared_by_others"
            else:
                errors, placeholders = await self._async_probe()
                if not errors:
                    return await (self.async_step_unusual() if self._has_doubts else self._async_finish())
        elif self._reconfigured is not None and self._reconfigured.data[CONF_TRANSPORT] == transport:
            suggested = _sectioned(self._reconfigured.data)
        fields = FIELDS[transport]
        if self._reconfigured is None:
            fields = {vol.Required(CONF_NAME, default=self._free_name()): TextSelector(), **fields}
        return self.async_show_form(
            step_id=transport,
            data_schema=self.add_suggested_values_to_schema(vol.Schema(fields), suggested),
            errors=errors,
            description_placeholders=placeholders,
        )

    async def async_step_unusual(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask whether to continue although the readings do not look like those of a REFU ESS."""
        if user_input is not None:
            return await self._async_finish()
        result, unknown = cast("ProbeResult", self._probed), "?"
        state = result.system_state
        doubts = [await self._async_text("selector", f"doubt.options.{doubt}") for doubt in result.doubts]
        return self.async_show_form(
            step_id="unusual",
            data_schema=vol.Schema({}),
            description_placeholders={
                "doubts": "; ".join(doubts),
                "system_state": unknown
                if state is None
                else await self._async_text("entity", f"sensor.system_state.state.{state.slug}"),
                "soc": unknown if result.soc is None else str(result.soc),
                "voltage": unknown if result.battery_voltage is None else str(result.battery_voltage),
            },
        )

    async def _async_text(self, category: str, key: str) -> str:
        """Return a text in Home Assistant's language, for a placeholder: the frontend does not translate these."""
        texts = await async_get_translations(self.hass, self.hass.config.language, category, [DOMAIN])
        return texts.get(f"component.{DOMAIN}.{category}.{key}", key)

    @property
    def _reconfigured(self) -> ConfigEntry | None:
        return self._get_reconfigure_entry() if self.source == SOURCE_RECONFIGURE else None

    @property
    def _has_doubts(self) -> bool:
        return self._probed is not None and bool(self._probed.doubts)

    def _already_configured(self) -> bool:
        """Return whether another entry has the same unit at the same endpoint."""
        wanted = (endpoint(self._data), self._data[CONF_UNIT_ID])
        return any(
            (endpoint(entry.data), entry.data[CONF_UNIT_ID]) == wanted
            for entry in self._async_current_entries(include_ignore=False)
            if self._reconfigured is None or entry.entry_id != self._reconfigured.entry_id
        )

    def _free_name(self) -> str:
        """Return the default name, with a number if other entries have it: entity ids come from it."""
        taken = {entry.title for entry in self._async_current_entries(include_ignore=False)}
        numbered = (f"{DEFAULT_NAME} {number}" for number in itertools.count(2))
        return next(name for name in itertools.chain([DEFAULT_NAME], numbered) if name not in taken)

    def _should_share(self) -> bool:
        """Return whether to offer the shared connection, once: another entry holds one to the same endpoint."""
        if self._data[CONF_SHARE_CONNECTION] or self._sharing_offered:
            return False
        own_entry_id = None if self._reconfigured is None else self._reconfigured.entry_id
        return used_by_other_entry(self.hass, self._data, own_entry_id)

    async def _async_probe(self) -> tuple[dict[str, str], dict[str, str]]:
        """Read the device once; return the form's errors and their placeholders."""
        entry = self._reconfigured
        # A single-client gateway would reject the probe while the entry is polling.
        if entry is None or entry.state is not ConfigEntryState.LOADED or endpoint(entry.data) != endpoint(self._data):
            return await self._async_try()
        await self.hass.config_entries.async_unload(entry.entry_id)
        errors, placeholders = await self._async_try()
        if errors or self._has_doubts:
            await self.hass.config_entries.async_setup(entry.entry_id)
        return errors, placeholders

    async def _async_try(self) -> tuple[dict[str, str], dict[str, str]]:
        try:
            async with async_open_temporary_unit(self.hass, self._data) as unit:
                self._probed = await async_probe(unit)
        except HomeAssistantError:
            return {"base": "link_in_use"}, {}
        except ValueError:  # a port that pyserial does not take, or a host that is no name at all
            return {"base": "serial_port" if self._data[CONF_TRANSPORT] == TRANSPORT_SERIAL else "no_such_host"}, {}
        except ModbusConnectionError:
            return {"base": await _async_why_no_connection(self._data)}, {}
        except ModbusError as err:
            return {"base": translation_key(err)}, {"code": error_code(err)}
        return {}, {}

    async def _async_finish(self) -> ConfigFlowResult:
        if self._reconfigured is not None:
            return self.async_update_reload_and_abort(self._reconfigured, data=self._data)
        return await self.async_step_site()

    async def async_step_site(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for what the device does not say: its battery groups and capacity, and whether it may be controlled."""
        errors: dict[str, str] = {}
        integration = await async_get_integration(self.hass, DOMAIN)
        placeholders = {"control_page": f"{integration.documentation}/blob/main/docs/control.md"}
        if user_input is not None:
            if (wrong := next(options.refused(user_input, options.SETUP), None)) is None:
                return self.async_create_entry(
                    title=self._name, data=self._data, options=options.accepted(user_input, options.SETUP)
                )
            errors, placeholders = {"base": wrong.error}, placeholders | wrong.placeholders
        return self.async_show_form(
            step_id="site",
            data_schema=self.add_suggested_values_to_schema(options.setup_schema(), user_input),
            errors=errors,
            description_placeholders=placeholders,
        )


class RefuEssOptionsFlow(OptionsFlowWithReload):
    """Changes the options of the site and of control."""

    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for all options at once; name the first whose answer is not permitted."""
        stored = self.config_entry.options
        suggested: Mapping[str, Any] = options.sectioned(stored)
        errors: dict[str, str] = {}
        placeholders = {"name": self.config_entry.title}
        if user_input is not None:
            answers = options.flat(user_input)
            if (wrong := next(options.refused(answers), None)) is None:
                return self.async_create_entry(data={**stored, **options.accepted(answers)})
            suggested, errors, placeholders = user_input, {"base": wrong.error}, placeholders | wrong.placeholders
        return self.async_show_form(
            step_id="init",
            data_schema=self.add_suggested_values_to_schema(options.form_schema(), suggested),
            errors=errors,
            description_placeholders=placeholders,
        )

"""A house whose automations are made from the blueprints, with the verbs of their tests."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse, SupportsResponse, callback
from homeassistant.exceptions import ServiceValidationError
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from tests.generated import INTEGRATION, ROOT
from tests.helpers import shown, state

FOLDER = ROOT / "blueprints" / "automation"
BLUEPRINTS = sorted(FOLDER.rglob("*.yaml"))
REPOSITORY: str = json.loads((INTEGRATION / "manifest.json").read_text())["documentation"]

START = datetime(2026, 11, 25, 10, 0, 1, 300_000, tzinfo=UTC)
"""A Wednesday, shortly into a quarter-hour; what is due in a second is done in it."""
GRID = "sensor.meter_power"
QUARTER = "sensor.meter_quarter"
PEAK = "input_number.peak"
ESS = "sensor.ess_active_power"
SOC = "sensor.ess_soc"
ALARMS = "event.ess_alarms"
ACTIVE = "sensor.ess_active_alarms"
BUTTON = "input_button.seen"

SEND = [{"action": "test.send", "data": {"title": "{{ title }}", "message": "{{ message }}"}}]
ESCALATE = [{"action": "test.escalate", "data": {"title": "{{ title }}", "message": "{{ message }}"}}]

INPUTS: dict[str, dict[str, Any]] = {
    "alarm_notification": {
        "alarms": ALARMS,
        "active_alarms": ACTIVE,
        "notify": SEND,
        "escalation": ESCALATE,
        "acknowledge": BUTTON,
        "interval": {"minutes": 10},
        "reminder_count": 3,
    },
    "charge_window": {"ess": "refu", "soc": SOC},
    "peak_guard": {
        "ess": "refu",
        "ess_power": ESS,
        "soc": SOC,
        "grid_power": GRID,
        "quarter_energy": QUARTER,
        "period_peak": PEAK,
        "contract": 80,
        "recharge_power": 0,
        "margin": 0,
    },
    "peak_record": {"quarter_energy": QUARTER, "period_peak": PEAK},
    "soc_warning": {"soc": SOC, "notify": SEND},
    "surplus": {"ess": "refu", "ess_power": ESS, "soc": SOC, "grid_power": GRID, "target": 0},
}
"""The inputs of each blueprint, unless a test gives others."""
LOGGERS = ("homeassistant.components.automation", "homeassistant.helpers")


class Message(NamedTuple):
    """A message that was sent."""

    way: str
    """`send` or `escalate`."""
    title: str
    text: str


class House:
    """A house in Home Assistant: a meter, an ESS, and a phone that gets the messages. Time is frozen."""

    def __init__(self, hass: HomeAssistant, freezer: FrozenDateTimeFactory, caplog: pytest.LogCaptureFixture) -> None:
        """Collect the messages; without an ESS no command succeeds."""
        self.hass = hass
        self.commands: list[dict[str, Any]] = []
        """Data of every call of `refu_ess.set_power`."""
        self.refuses = False
        """The ESS refuses every command."""
        self._freezer = freezer
        self._caplog = caplog
        self._messages: list[Message] = []
        self._active_alarms: list[str] = []
        for way in ("send", "escalate"):
            hass.services.async_register("test", way, self._send)

    @callback
    def _send(self, call: ServiceCall) -> None:
        self._messages.append(Message(call.service, call.data["title"], call.data["message"]))

    def add_ess(self) -> None:
        """Accept commands in place of the integration, without a device."""
        self.hass.services.async_register(
            "refu_ess", "set_power", self._command, supports_response=SupportsResponse.OPTIONAL
        )

    @callback
    def _command(self, call: ServiceCall) -> ServiceResponse:
        self.commands.append(dict(call.data))
        if self.refuses:
            raise ServiceValidationError("Fault")
        return {}

    # What the entities show

    def show(self, entity_id: str, value: object, unit: str | None = None, **attributes: Any) -> None:
        """Let an entity show a value."""
        if unit is not None:
            attributes["unit_of_measurement"] = unit
        self.hass.states.async_set(entity_id, str(value), attributes)

    def readings(
        self,
        grid_kw: float,
        *,
        quarter_kwh: float | None = 0,
        ess_kw: float = 0,
        soc: float = 60,
        peak_kw: float = 0,
    ) -> None:
        """Let all entities show values; without `quarter_kwh` the energy of the quarter-hour is unavailable."""
        self.show(GRID, grid_kw, "kW")
        if quarter_kwh is None:
            self.show(QUARTER, "unavailable", "kWh")
        else:
            self.show(QUARTER, quarter_kwh, "kWh", last_period="0")
        self.show(ESS, ess_kw, "kW")
        self.show(SOC, soc, "%")
        self.show(PEAK, peak_kw, "kW")

    def state(self, entity_id: str) -> str:
        """Return what an entity shows."""
        return state(self.hass, entity_id)

    # Alarms

    def show_alarms(self) -> None:
        """Let the ESS show that it has not raised an alarm yet."""
        self.show(ALARMS, "unknown")
        self._show_active()

    def raise_alarm(self, text: str, severity: str = "fault") -> None:
        """Raise an alarm."""
        self._active_alarms.append(text)
        self._report("raised", text, severity)

    def clear_alarm(self, text: str, severity: str = "fault", **details: Any) -> None:
        """Clear an alarm."""
        self._active_alarms.remove(text)
        self._report("cleared", text, severity, **details)

    def _report(self, kind: str, text: str, severity: str, **more: Any) -> None:
        # As the integration does it: the list of active alarms is there before the event.
        self._show_active()
        self._freezer.tick(timedelta(milliseconds=1))
        details = {"event_type": kind, "key": text.lower(), "text": text, "severity": severity, "category": "battery"}
        self.show(ALARMS, datetime.now(UTC).isoformat(timespec="milliseconds"), **(details | more))

    def _show_active(self) -> None:
        self.show(ACTIVE, len(self._active_alarms), alarms=list(self._active_alarms))

    # Automations

    async def run(self, name: str, **inputs: Any) -> None:
        """Make an automation from a blueprint, with `INPUTS` unless they are given, and turn it on."""
        config = {
            "id": name,
            "alias": name,
            "use_blueprint": {"path": f"refu_ess/{name}.yaml", "input": {**INPUTS[name], **inputs}},
        }
        assert await async_setup_component(self.hass, "automation", {"automation": config})
        await self.settle()
        assert self.state(f"automation.{name}") == "on"

    async def turn_off(self) -> None:
        """Turn off the automations, and let their runs end."""
        await self.hass.services.async_call("automation", "turn_off", {"entity_id": "all"}, blocking=True)
        await self.settle()

    # Time

    def begin_at(self, moment: datetime) -> None:
        """Let the test begin at another time than `START`."""
        self._freezer.move_to(moment)

    async def settle(self, rounds: int = 1) -> None:
        """Let everything run that can; `async_block_till_done` would wait for the delays inside an automation."""
        for _ in range(rounds * 40):
            await asyncio.sleep(0)

    async def wait(self, seconds: float, step: float = 1) -> None:
        """Let time go by in steps."""
        for _ in range(round(seconds / step)):
            self._freezer.tick(timedelta(seconds=step))
            async_fire_time_changed(self.hass)
            await self.settle()

    async def at(self, minute: int, second: int = 0) -> None:
        """Go to this time of the hour at once; what is due is done."""
        self._freezer.move_to(START.replace(minute=minute, second=second))
        async_fire_time_changed(self.hass)
        await self.settle()

    # Results

    @property
    def powers(self) -> list[float]:
        """The active powers in W of the commands."""
        return [command["active_power"] for command in self.commands]

    def messages(self) -> list[Message]:
        """Return the messages since the last call."""
        found, self._messages = self._messages, []
        return found

    def texts(self) -> list[str]:
        """Return the texts of the messages since the last call."""
        return [message.text for message in self.messages()]

    def complaints(self) -> list[str]:
        """Return the warnings and errors in the log about automations, their scripts, and templates that fail."""
        return [
            record.getMessage()
            for record in self._caplog.records
            if record.levelno >= logging.WARNING and record.name.startswith(LOGGERS)
        ]

    def runs(self, name: str) -> int:
        """Return how many runs of an automation are active or wait."""
        return int(shown(self.hass, f"automation.{name}").attributes["current"])

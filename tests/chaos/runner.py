"""One case: set up, hold power or not, bring the fault about, remove it, and measure what follows."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.refu_ess import const
from tests.registers import ACTIVE_SETPOINT, REACTIVE_SETPOINT
from tests.simulator import Simulator, carry_out

from .faults import RTU_OVER_TCP, SERIAL, TCP, Case, Command, OfTimeout
from .observer import OWN, Observer

POWER_W = 20_000
POWER_WORD = POWER_W // 100
WRITE_MANY = 16
PATIENCE_S = 75.0
"""Within this time after a fault everything is as it was: settings are read once a minute."""
SOC_BEFORE, SOC_DURING, SOC_AFTER = 62, 50, 38
"""State of charge in %, by which fresh readings are told from old ones."""


@dataclass
class Outcome:
    """Result of one case."""

    key: str
    shown: str = ""
    """By the entities at the end of the fault."""
    lost_after_s: float | None = None
    """From the fault to the first moment without a state of charge, `None` if it was there all the time."""
    losses: int = 0
    """Number of times the state of charge became unavailable."""
    recovery_s: float = float("nan")
    """From the end of the fault until everything is as before."""
    lease: str = ""
    """`kept`, `refused`, or the reason of its end."""
    zero_after_s: float | None = None
    """From the end of the fault until zero was at the device; negative while the fault was there."""
    noted: list[str] = field(default_factory=list)
    """Further events of control."""
    log: list[str] = field(default_factory=list)
    """Lines of the integration."""
    library_lines: int = 0
    """Warnings and errors of the Modbus libraries."""
    broken: list[str] = field(default_factory=list)
    """The rules that it broke."""


def data(sim: Simulator, case: Case) -> dict[str, Any]:
    """The data of a config entry."""
    found: dict[str, Any] = {"transport": case.transport, "unit_id": 1, "share_connection": case.link == "shared"}
    if case.transport == SERIAL:
        line = {"baudrate": 19200, "bytesize": 8, "parity": "none", "stopbits": 1}
        return found | line | {"device": sim.serial_port}
    return found | {"host": "127.0.0.1", "port": sim.cables[case.transport].port}


def simulator(transport: str) -> Simulator:
    """An ESS on one transport."""
    anywhere = ("127.0.0.1", 0)
    return Simulator(
        tcp=anywhere if transport == TCP else None,
        rtu_over_tcp=anywhere if transport == RTU_OVER_TCP else None,
        pty=transport == SERIAL,
    )


def command(one: Command, timeout_s: float) -> Command:
    """Fill in what depends on the timeout."""
    return {key: value.factor * timeout_s if isinstance(value, OfTimeout) else value for key, value in one.items()}


async def until(done: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so; returns whether it became so in time."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.02)
    return True


class Run:
    """One case, step by step."""

    def __init__(self, hass: HomeAssistant, sim: Simulator, case: Case, *, timeout_s: float, lasts_s: float) -> None:
        """Take a Home Assistant and a simulated ESS; nothing is set up yet."""
        self.hass, self.sim, self.case = hass, sim, case
        self.timeout_s, self.lasts_s = timeout_s, lasts_s
        self.entry = MockConfigEntry(
            domain=const.DOMAIN,
            title="REFU ESS",
            data=data(sim, case),
            options={"start_delay": 0, "ramp_rate": 100, "poll_interval": 1},
        )
        self.observer = Observer(hass, sim, self.entry)
        self.outcome = Outcome(case.key)
        self.began_at = self.ended_at = 0.0
        self.unknown_before: set[str] = set()

    async def go(self, log: list[logging.LogRecord]) -> Outcome:
        """Do it all, and judge it."""
        if self.case.fault.from_start:
            await self._begin()
        await self._set_up()
        taken = self.case.load == "held" and await self._hold()
        log.clear()
        if not self.case.fault.from_start:
            await self._be_steady()
            log.clear()
            await self._begin()
        await self._last()
        await self._cure()
        await self._recover()
        if taken:
            await self._settle_lease()
        elif not await until(lambda: not self.sim.model.total_w, 5):
            self.outcome.broken.append("power without a lease")
        self.observer.stop()
        self._judge_log(log)
        assert await self.hass.config_entries.async_unload(self.entry.entry_id)
        if self.sim.model.total_w:
            self.outcome.broken.append(f"{self.sim.model.total_w:.0f} W are left behind")
        self._judge_writes()
        self.outcome.broken += self.observer.never_served()
        return self.outcome

    async def _set_up(self) -> None:
        self.entry.add_to_hass(self.hass)
        assert await self.hass.config_entries.async_setup(self.entry.entry_id)
        assert self.entry.state is ConfigEntryState.LOADED
        await self.hass.async_block_till_done()
        self.observer.start()
        self.unknown_before = self.observer.without(STATE_UNKNOWN)

    async def _hold(self) -> bool:
        if not self.case.fault.from_start:
            await self._be_steady()
        try:
            await self.hass.services.async_call(const.DOMAIN, "set_power", {"active_power": POWER_W}, blocking=True)
        except HomeAssistantError as err:
            self.outcome.lease = f"not taken: {err.translation_key}"
            return False
        assert await until(lambda: self.sim.model.total_w == POWER_W, 5)
        await asyncio.sleep(self.timeout_s)
        return True

    async def _be_steady(self) -> None:
        """Wait for a good poll: a machine that has just started this may have lost one."""
        assert await until(lambda: not self.observer.without(STATE_UNAVAILABLE), PATIENCE_S)
        self.observer.shown.clear()

    async def _begin(self) -> None:
        self.began_at = time.time()
        for one in self.case.fault.do:
            await carry_out(self.sim, command(one, self.timeout_s))
        self.sim.model.soc = SOC_DURING

    async def _last(self) -> None:
        """Let the fault last; a reboot takes its own time."""
        if self.sim.rebooting:
            await until(lambda: not self.sim.rebooting, PATIENCE_S)
            return
        await asyncio.sleep(self.lasts_s)
        if self.lasts_s:
            self.outcome.shown = self.observer.description(self.unknown_before, SOC_DURING)

    async def _cure(self) -> None:
        self.ended_at = time.time()
        self.sim.model.soc = SOC_AFTER
        if not self.case.fault.lasts_s:
            return
        for one in ("heal", "release", "plug"):
            if one != "plug" or any(command["do"] == "unplug" for command in self.case.fault.do):
                await carry_out(self.sim, {"do": one})

    def _as_before(self) -> bool:
        seen = self.observer
        new_unknown = seen.without(STATE_UNKNOWN) - self.unknown_before
        return not seen.without(STATE_UNAVAILABLE) and not new_unknown and seen.soc() == str(SOC_AFTER)

    async def _recover(self) -> None:
        if await until(self._as_before, PATIENCE_S):
            self.outcome.recovery_s = time.time() - self.ended_at
        else:
            missing = sorted(self.observer.without(STATE_UNAVAILABLE))
            unknown = sorted(self.observer.without(STATE_UNKNOWN) - self.unknown_before)
            self.outcome.broken.append(f"no recovery within {PATIENCE_S} s: {self.observer.soc()} {missing} {unknown}")
        if not self.outcome.shown:
            self.outcome.shown = "as before"
        gone = False
        for one in self.observer.shown:
            if one.key == "soc" and (one.state == STATE_UNAVAILABLE) != gone:
                gone = not gone
                self.outcome.losses += gone
                if self.outcome.lost_after_s is None:
                    self.outcome.lost_after_s = one.at - self.began_at

    async def _settle_lease(self) -> None:
        controller = self.entry.runtime_data.commander.controller
        if not await until(lambda: controller.lease.lease is not None or controller.lease.debt is None, PATIENCE_S):
            self.outcome.broken.append("zero stays owed")
        ends = [name for at, name in self.observer.events if name.startswith("lease_ended")]
        self.outcome.noted = sorted(
            {name for _, name in self.observer.events if not name.startswith(("lease_ended", "lease_taken"))}
        )
        if controller.lease.lease is None:
            self.outcome.lease = ", ".join(one.removeprefix("lease_ended: ") for one in ends)
            zeros = [one.at for one in self.sim.write_log if one.address == ACTIVE_SETPOINT and one.values == (0,)]
            due = [at for at in zeros if at >= self.began_at]
            if due:
                self.outcome.zero_after_s = due[0] - self.ended_at
            if self.sim.model.total_w:
                self.outcome.broken.append("the lease is over and power is on")
            return
        self.outcome.lease = "kept"
        if not await until(lambda: self.sim.model.total_w == POWER_W, 5):
            self.outcome.broken.append(f"the lease is kept and the device holds {self.sim.model.total_w:.0f} W")
        await self.hass.services.async_call(const.DOMAIN, "set_power", {"active_power": 0}, blocking=True)

    # Rules

    def _judge_log(self, log: list[logging.LogRecord]) -> None:
        """Ours say everything once; nobody else complains about the device on a private link."""
        own = [one.getMessage() for one in log if one.name.startswith(OWN)]
        others = [one for one in log if not one.name.startswith(OWN)]
        self.outcome.log = own
        self.outcome.library_lines = len(others)
        self.outcome.broken += [f"logged {count} times: {one}" for one, count in Counter(own).items() if count > 1]
        if self.case.link == "private":
            complaints = [one for one in others if not one.name.startswith("modbus_connection.model")]
            self.outcome.broken += [f"logged by {one.name}: {one.getMessage()}" for one in complaints]

    def _judge_writes(self) -> None:
        """Every write that arrived was of the setpoints in use, and power only came under the lease."""
        over_at = next((at for at, name in self.observer.events if name.startswith("lease_ended")), float("inf"))
        for one in self.sim.write_log:
            zero = one.values == (0,)
            fits = one.function == WRITE_MANY and (
                (one.address == ACTIVE_SETPOINT and len(one.values) == 1 and 0 <= one.values[0] <= POWER_WORD)
                or (one.address == REACTIVE_SETPOINT and zero)
            )
            if self.case.load == "idle" or not fits or (not zero and one.at > over_at):
                self.outcome.broken.append(f"write astray: {one.function} 0x{one.address:03X} {one.values}")

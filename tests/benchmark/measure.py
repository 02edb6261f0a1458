"""One measurement: a Home Assistant of its own with its own server, from setup over several rates of change.

Takes a `Case` as JSON on the command line and prints what it found as JSON.
"""

import asyncio
import bisect
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

from homeassistant import loader
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.core_config import async_process_ha_core_config
from homeassistant.helpers import frame, template
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.recorder import async_initialize_recorder
from homeassistant.runner import create_event_loop
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_test_home_assistant

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SETTLING_SECONDS = 3
"""From a change of the rate until it is measured."""
SAVING_SECONDS = 13
"""From the end of the setup: Home Assistant saves its registries 10 s later."""

LAG_EVERY_SECONDS = 0.2
"""Seldom enough that looking whether the event loop is late costs nothing itself."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One measured case."""

    way: str
    """`usual`, `best`, `coordinator`, `floor`, `library`, `private` or `shared`."""
    interval: int = 1
    everything: bool = True
    """With all entities enabled, else with those that are by default."""
    latency_ms: int = 0
    recorder: bool = False
    inverters: int = 1
    changes: tuple[float, ...] = (0.6,)
    """The shares of the moving words that change each second, one after the other."""
    seconds: float = 20
    hold: bool = False
    """Then measure the first rate of change again, with a setpoint held."""
    begin_at: float = 0
    """When to begin to poll for the measurement, on the monotonic clock: the same for all that run together."""


class Server:
    """The server's process."""

    def __init__(self, case: Case) -> None:
        """Start it on the first processor."""
        arguments = [sys.executable, "-m", "tests.benchmark.server", str(case.inverters), str(case.latency_ms / 1000)]
        self._process = subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(self._process.pid, {0})
        self.ports: list[int] = self._line()

    def _line(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def set(self, change: float) -> dict[str, Any]:
        """Set the rate of change, and return what was counted since it was set the last time."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"change": change, "flips": change / 3}) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = self._line()
        return found

    def stop(self) -> None:
        """End it."""
        self._process.communicate()


def memory_mb() -> float:
    """The memory of this process."""
    match = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) / 1024


def home_assistant(folder: str) -> AbstractAsyncContextManager[HomeAssistant]:
    """A Home Assistant that finds the integrations in this folder."""
    found: AbstractAsyncContextManager[HomeAssistant] = async_test_home_assistant(config_dir=folder)
    return found


async def prepare(hass: HomeAssistant, case: Case, folder: str) -> None:
    """Do the rest of what Home Assistant does at its start."""
    hass.data.pop(loader.DATA_CUSTOM_COMPONENTS)
    frame.async_setup(hass)
    template.async_setup(hass)
    await async_process_ha_core_config(hass, {})
    assert await async_setup_component(hass, "homeassistant", {})
    if case.recorder:
        async_initialize_recorder(hass)
        assert await async_setup_component(hass, "recorder", {"recorder": {"db_url": f"sqlite:///{folder}/db"}})
    await asyncio.sleep(1)


async def set_up(hass: HomeAssistant, case: Case, port: int) -> tuple[float, float]:
    """Set up one inverter; returns the milliseconds of processor time and the megabytes that it took."""
    gc.collect()
    memory, began = memory_mb(), time.process_time()
    if case.way in {"usual", "best"}:
        config = getattr(import_module("tests.benchmark.yaml_hub"), case.way)(port, case.interval)
        assert all(await asyncio.gather(*(async_setup_component(hass, domain, config) for domain in config)))
    else:
        ours = case.way in {"private", "shared"}
        link = {"transport": "tcp", "host": "127.0.0.1", "unit_id": 1, "share_connection": case.way == "shared"}
        entry = MockConfigEntry(
            domain="refu_ess" if ours else "bench_reference",
            data={"port": port} | (link if ours else {"mode": case.way}),
            options={"poll_interval": case.interval} if ours else {"interval": case.interval},
            title=f"bench {port}",
        )
        entry.add_to_hass(hass)
        assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return 1000 * (time.process_time() - began), memory_mb() - memory


async def longest_lags(until: float) -> list[float]:
    """Yield the delay of the event loop in milliseconds until that time."""
    lags = []
    while (now := time.monotonic()) < until:
        await asyncio.sleep(LAG_EVERY_SECONDS)
        lags.append(1000 * (time.monotonic() - now - LAG_EVERY_SECONDS))
    return lags


async def longest_steps(seconds: float) -> tuple[list[float], list[float]]:
    """The processor time of each step of the event loop, in milliseconds, and the same without garbage collection."""
    steps: list[float] = []
    own: list[float] = []
    collecting = began_collecting = 0.0
    run = asyncio.Handle._run  # the debug mode of asyncio would count waiting for the processor too

    def collect(phase: str, _: dict[str, int]) -> None:
        nonlocal collecting, began_collecting
        if phase == "start":
            began_collecting = time.thread_time()
        else:
            collecting += time.thread_time() - began_collecting

    def timed(handle: asyncio.Handle) -> None:
        began, before = time.thread_time(), collecting
        run(handle)
        step = time.thread_time() - began
        steps.append(1000 * step)
        own.append(1000 * (step - (collecting - before)))

    gc.callbacks.append(collect)
    with patch.object(asyncio.Handle, "_run", timed):
        await asyncio.sleep(seconds)
    gc.callbacks.remove(collect)
    return steps, own


async def take_lease(hass: HomeAssistant) -> None:
    """Hold about as much power as flows anyway."""
    (entry,) = hass.config_entries.async_entries("refu_ess")
    coordinator = entry.runtime_data
    ess = import_module("custom_components.refu_ess.ess")  # not before its setup is measured
    power = ess.Power.total(round(coordinator.data.values["active_power"], -2), 0, 1)
    await coordinator.commander.async_set_power(power, None, None)


async def window(case: Case, server: Server, events: list[float], change: float, begin: float) -> dict[str, float]:
    """Measure with one rate of change."""
    server.set(change)
    await asyncio.sleep(max(0, begin - time.monotonic()))
    server.set(change)
    events.clear()
    began, cpu = time.monotonic(), time.process_time()
    lags: list[float] = []
    if case.inverters > 1:
        lags = await longest_lags(began + case.seconds)
    else:
        await asyncio.sleep(case.seconds)
    cpu, seconds = time.process_time() - cpu, time.monotonic() - began
    seen, counted = list(events), server.set(change)
    polls = seconds / case.interval * case.inverters
    answers = counted["answers"]
    after = [at - answers[place - 1] for at in seen if (place := bisect.bisect_left(answers, at))]
    return {
        "cpu_ms": 1000 * cpu / polls,
        "cpu_ms_per_s": 1000 * cpu / seconds,
        "requests": counted["counts"].get("requests", 0) / polls,
        "words": counted["counts"].get("words", 0) / polls,
        "events": len(seen) / polls,
        "answer_to_state_ms": 1000 * quantile(after, 0.5),
        "answer_to_state_95_ms": 1000 * quantile(after, 0.95),
        "lag_99_ms": quantile(lags, 0.99),
        "lag_longest_ms": quantile(lags, 1),
    }


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of them lies, 0 if there are none."""
    return sorted(values)[int(share * (len(values) - 1))] if values else 0.0


async def measure(case: Case, folder: str) -> dict[str, Any]:
    """Set up, and measure one rate of change after the other."""
    server, events = Server(case), list[float]()
    found: dict[str, Any] = {"case": asdict(case)}

    @callback
    def note(_: Event[Any]) -> None:
        events.append(time.monotonic())

    if case.inverters == 1:  # first with all that is imported on the way, then once more without
        async with home_assistant(folder) as hass:
            await prepare(hass, case, folder)
            found["first_ms"], found["first_mb"] = await set_up(hass, case, server.ports[0])
            for entry in hass.config_entries.async_entries():
                await hass.config_entries.async_unload(entry.entry_id)
            await hass.async_stop(force=True)
    async with home_assistant(folder) as hass:
        await prepare(hass, case, folder)
        hass.bus.async_listen("state_changed", note)
        costs = [await set_up(hass, case, port) for port in server.ports]
        found["imported_ms"] = costs[0][0]
        if case.inverters > 1:
            found["further_ms"] = sum(cpu for cpu, _ in costs[1:]) / (case.inverters - 1)
            found["further_mb"] = sum(memory for _, memory in costs[1:]) / (case.inverters - 1)
        found["entities"] = len(hass.states.async_all())
        begin = max(case.begin_at, time.monotonic() + SAVING_SECONDS)
        for change in case.changes:
            found[f"change {change:g}"] = await window(case, server, events, change, begin)
            begin = time.monotonic() + SETTLING_SECONDS
        if case.hold:
            await take_lease(hass)
            found["held"] = await window(case, server, events, case.changes[0], time.monotonic() + SETTLING_SECONDS)
        if case.inverters > 1:
            steps, own = await longest_steps(case.seconds)
            found["step_longest_ms"], found["own_step_longest_ms"] = max(steps), max(own)
        for entry in hass.config_entries.async_entries():
            await hass.config_entries.async_unload(entry.entry_id)
        await hass.async_stop(force=True)
    server.stop()
    return found


def main() -> None:
    """Run the case on the last processor."""
    os.sched_setaffinity(0, {(os.cpu_count() or 1) - 1})
    case = Case(**json.loads(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=create_event_loop) as runner:
        integrations = Path(folder, "custom_components")
        integrations.mkdir()
        for source in (ROOT / "custom_components" / "refu_ess", HERE / "custom_components" / "bench_reference"):
            (integrations / source.name).symlink_to(source)
        sys.path.insert(0, folder)
        if case.way not in {"private", "shared"}:
            import_module("tests.benchmark.words")  # a reference has its registers for nothing
        everything = patch.object(Entity, "entity_registry_enabled_default", new=True)
        with everything if case.everything else nullcontext():
            print(json.dumps(runner.run(measure(case, folder))))


if __name__ == "__main__":
    main()

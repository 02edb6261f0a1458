"""Stands in for Home Assistant in `test_guard_process.py`: holds -20 kW under a guard and follows commands.

It takes one JSON object as argument, prints JSON lines, and takes commands on its standard input.
"""

import asyncio
import json
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import modbus_connection
from modbus_connection.pymodbus import ModbusConnection

if TYPE_CHECKING:
    from custom_components.refu_ess.ess.guardian import Guardian, GuardLink
    from custom_components.refu_ess.ess.settings import PhaseSetpoints, TotalSetpoints
else:
    # At the end of the path: the integration's `select` would hide the standard library's.
    sys.path.append(str(Path(__file__).parents[1] / "custom_components" / "refu_ess"))
    from ess.guardian import Guardian, GuardLink
    from ess.settings import PhaseSetpoints, TotalSetpoints

MINUS_20_KW = 0x10000 - 200
BEAT_S = 0.1


def say(**what: Any) -> None:
    """Print one line."""
    print(json.dumps(what), flush=True)  # noqa: T201 - it is a command, which prints


async def main() -> None:
    """Hold power until a command or a signal ends it."""
    orders = json.loads(sys.argv[1])
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        params = getattr(modbus_connection, orders["kind"])(**orders["params"])
    guardian = Guardian(
        GuardLink(params=params, unit_id=1, timeout_s=1.0),
        per_phase=orders["per_phase"],
        report_path=Path(orders["report_path"]),
        silence_s=orders["silence_s"],
        on_acted=lambda report: say(told=report.outcome),
    )
    began = time.perf_counter()
    started = await guardian.async_start()
    ready_ms = (time.perf_counter() - began) * 1000
    unit = ModbusConnection(params, timeout=1.0).for_unit(1)
    component = PhaseSetpoints if orders["per_phase"] else TotalSetpoints
    for first, last in component.register_ranges:
        await unit.write_registers(first, [MINUS_20_KW] * (last - first + 1))
    process = guardian._process
    say(started=started, ready_ms=ready_ms, guard=process.pid if process else None)

    async def beat() -> None:
        while True:
            guardian.beat()
            await asyncio.sleep(BEAT_S)

    beating = asyncio.create_task(beat())
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := (await commands.readline()).decode().split():
        match line:
            case ["block", seconds]:
                time.sleep(float(seconds))  # noqa: ASYNC251 - a blocked event loop is the point
                acted = guardian.acted
                say(acted=acted and acted.outcome)
            case ["look"]:
                acted = guardian.acted
                say(acted=acted and acted.outcome, lost=guardian.lost, running=guardian.running)
            case ["paid"]:
                await guardian.async_paid()
                say(running=guardian.running, lost=guardian.lost)
            case ["return"]:
                break
            case ["raise"]:
                raise RuntimeError
    beating.cancel()


if __name__ == "__main__":
    asyncio.run(main())

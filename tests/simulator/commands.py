"""Commands to the running simulated ESS: JSON objects from a control port or a scenario file."""

import asyncio
import json
import math
import socket
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .frames import DISTURBANCES
from .model import START_ERROR
from .registers import ADDRESSES, BITS, FIELDS
from .server import Behaviour, Reboot, Simulator

HELP = """\
{"do": "alarm", "key": "fog_alarm", "on": true}      hold a labelled bit set (or clear: "on": false)
{"do": "bits", "key": "battery_fault_9", "mask": 1}  set further bits of a word, also undeclared ones
{"do": "value", "key": "soc", "value": 55}           hold a channel at a value in its unit
{"do": "raw", "address": 289, "word": 255}           hold a register at a raw word
{"do": "release"}                                    clear all overrides
{"do": "soc", "percent": 99}                         set the state of charge; time goes on from there
{"do": "fail", "code": 12}                           raise an error: state Fault, power 0
{"do": "clear"}                                      clear the error
{"do": "power", "watts": -20000}                     move power while no setpoint is written (null: none)
{"do": "delay", "seconds": 5}                        answer late
{"do": "silence"}                                    accept connections, never answer
{"do": "refuse"}                                     close each new connection at once
{"do": "drop"}                                       close the present connections
{"do": "half_open"}                                  existing connections go half-open
{"do": "reset"}                                      meet each request with a reset of the connection
{"do": "vanish"}                                     be gone without a word: nothing is answered or refused
{"do": "lagging"}                                    meet each request with the answer to the one before
{"do": "disturb", "how": "garbage"}                  or garbage_before, garbage_after, short_frame, missing_bytes,
                                                     too_many_words, twice, in_pieces, wrong_unit, wrong_function,
                                                     wrong_byte_count, wrong_checksum (RTU), wrong_transaction (TCP)
{"do": "lose", "requests": 3}                        lose so many requests from the next write of zero on (TCP)
{"do": "clients", "most": 1}                         accept so many clients at a time
{"do": "exception", "code": 6}                       answer everything with a Modbus exception
{"do": "refuse_block", "from": 282, "to": 341}       reject these addresses (exception 2)
{"do": "silent_block", "from": 515, "to": 515}       leave reads of these addresses unanswered
{"do": "age", "seconds": 60}                         answer with the words of a minute ago
{"do": "flood", "word": 65535}                       answer with this word in every register
{"do": "reboot", "during": "write", "seconds": 5}    reboot at the next write (or read); "keeps": true keeps setpoints
{"do": "writes", "how": "refused"}                   or ignored, done
{"do": "second_master", "watts": 5000}               another system writes the setpoint all the time
{"do": "unplug"}, {"do": "plug"}                     pull the cable, reconnect it
{"do": "heal"}                                       clear all faults of wire and answers
{"do": "state"}                                      print the device state
{"do": "batch", "commands": [...]}                   carry out several commands between two answers
{"do": "served"}                                     print each new answer to a read
{"do": "write_log"}                                  print all writes received
"""


def _entry(known: dict[str, Any], key: str) -> str:
    if key not in known:
        raise ValueError(f"no such key: {key}")
    return key


def _alarm(sim: Simulator, key: str, *, on: bool = True) -> None:
    sim.registers.alarms[_entry(BITS, key)] = on


def _bits(sim: Simulator, key: str, mask: int) -> None:
    sim.registers.masks[_entry(ADDRESSES, key)] = mask


def _value(sim: Simulator, key: str, value: float) -> None:
    sim.registers.overrides[_entry(FIELDS, key)] = value


def _raw(sim: Simulator, address: int, word: int) -> None:
    sim.registers.raw[address] = word


def _release(sim: Simulator) -> None:
    for held in (sim.registers.alarms, sim.registers.masks, sim.registers.overrides, sim.registers.raw):
        held.clear()


def _soc(sim: Simulator, percent: float) -> None:
    sim.model.soc = percent


def _fail(sim: Simulator, code: int = START_ERROR) -> None:
    sim.model.fail(code)


def _clear(sim: Simulator) -> None:
    sim.model.clear_error()


def _power(sim: Simulator, watts: float | None) -> None:
    sim.model.profile_w = watts


def _delay(sim: Simulator, seconds: float) -> None:
    for wire in sim.wires:
        wire.faults.delay = seconds


def _silence(sim: Simulator) -> None:
    for wire in sim.wires:
        wire.faults.silent = True


def _refuse(sim: Simulator) -> None:
    for wire in sim.wires:
        wire.faults.refused = True


async def _drop(sim: Simulator) -> None:
    for wire in sim.wires:
        await wire.drop()


def _half_open(sim: Simulator) -> None:
    for wire in sim.wires:
        wire.half_open()


def _reset(sim: Simulator) -> None:
    for wire in sim.wires:
        wire.faults.reset = True


async def _vanish(sim: Simulator) -> None:
    for wire in sim.wires:
        await wire.vanish()


def _lagging(sim: Simulator) -> None:
    for wire in sim.wires:
        wire.faults.lagging = True


def _disturb(sim: Simulator, how: str) -> None:
    if how not in DISTURBANCES:
        raise ValueError(f"no such disturbance: {how}")
    for wire in sim.wires:
        wire.faults.disturb = how


def _lose(sim: Simulator, requests: int) -> None:
    for wire in sim.wires:
        wire.faults.lose = requests


def _clients(sim: Simulator, most: int) -> None:
    for wire in sim.wires:
        wire.faults.clients = most


def _exception(sim: Simulator, code: int) -> None:
    sim.behaviour.exception = code


def _refuse_block(sim: Simulator, **limits: int) -> None:
    sim.behaviour.refused.append(range(limits["from"], limits["to"] + 1))


def _silent_block(sim: Simulator, **limits: int) -> None:
    sim.behaviour.silent.append(range(limits["from"], limits["to"] + 1))


def _age(sim: Simulator, seconds: float) -> None:
    sim.behaviour.age_s = seconds


def _flood(sim: Simulator, word: int) -> None:
    sim.registers.raw.update(dict.fromkeys(sim.registers.words(), word))


def _reboot(sim: Simulator, during: str, seconds: float, *, keeps: bool = False) -> None:
    if during not in ("read", "write"):
        raise ValueError(f"no such request: {during}")
    sim.behaviour.reboot = Reboot(during, seconds, keeps)


def _writes(sim: Simulator, how: str) -> None:
    if how not in ("done", "refused", "ignored"):
        raise ValueError(f"no such way to take writes: {how}")
    sim.behaviour.writes = how


def _second_master(sim: Simulator, watts: float | None) -> None:
    sim.behaviour.second_master_w = watts


def _state(sim: Simulator) -> dict[str, Any]:
    model = sim.model
    return {
        "system_state": model.state.name,
        "soc": round(model.soc, 2),
        "power": round(model.power_w),
        "setpoint": model.setpoint_w,
        "error_code": model.error_code,
        "requests": sim.requests,
        "writes": len(sim.write_log),
    }


def _write_log(sim: Simulator) -> list[dict[str, Any]]:
    return [asdict(write) for write in sim.write_log]


def _served(sim: Simulator) -> list[tuple[int, tuple[int, ...]]]:
    return sim.served


async def _batch(sim: Simulator, commands: list[dict[str, Any]]) -> None:
    for command in commands:
        await carry_out(sim, command)


COMMANDS: dict[str, Callable[..., Any]] = {
    "alarm": _alarm,
    "bits": _bits,
    "value": _value,
    "raw": _raw,
    "release": _release,
    "soc": _soc,
    "fail": _fail,
    "clear": _clear,
    "power": _power,
    "delay": _delay,
    "silence": _silence,
    "refuse": _refuse,
    "drop": _drop,
    "half_open": _half_open,
    "reset": _reset,
    "vanish": _vanish,
    "lagging": _lagging,
    "disturb": _disturb,
    "lose": _lose,
    "clients": _clients,
    "exception": _exception,
    "refuse_block": _refuse_block,
    "silent_block": _silent_block,
    "age": _age,
    "flood": _flood,
    "reboot": _reboot,
    "writes": _writes,
    "second_master": _second_master,
    "unplug": Simulator.unplug,
    "plug": Simulator.plug,
    "heal": Simulator.heal,
    "batch": _batch,
    "served": _served,
    "state": _state,
    "write_log": _write_log,
}
assert Behaviour().writes == "done"


async def carry_out(sim: Simulator, command: dict[str, Any]) -> Any:
    """Do what a JSON object says and return what it answers.

    Raises `ValueError` for a command that does not exist or lacks something.
    """
    words = dict(command)
    name = words.pop("do", None)
    if name not in COMMANDS:
        raise ValueError(f"no such command: {name}")
    try:
        answer = COMMANDS[name](sim, **words)
    except (TypeError, KeyError) as err:
        raise ValueError(f"{name}: {err}") from err
    return await answer if asyncio.iscoroutine(answer) else answer


async def serve_control(sim: Simulator, host: str, port: int) -> asyncio.Server:
    """Take commands, a JSON object a line, and answer each with a line."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            try:
                answer = {"ok": True, "answer": await carry_out(sim, json.loads(line))}
            except ValueError as err:
                answer = {"ok": False, "error": str(err)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    return await asyncio.start_server(talk, host, port)


def send(host: str, port: int, command: str) -> Any:
    """Send a command, JSON on one line, to the control port of a running simulator and return the answer.

    Raises `OSError` if nothing listens there, `RuntimeError` if the command is refused.
    """
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(command.encode() + b"\n")
        with connection.makefile() as lines:
            answer = json.loads(lines.readline())
    if not answer["ok"]:
        raise RuntimeError(answer["error"])
    return answer["answer"]


def read_scenario(scenario: Path) -> list[dict[str, Any]]:
    """Read a JSON list of commands, each with `at` in seconds, in the order of time."""
    return sorted(json.loads(scenario.read_text()), key=lambda one: one["at"])


async def play(sim: Simulator, commands: list[dict[str, Any]]) -> None:
    """Carry out a scenario, beginning now."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for command in commands:
        words = {key: value for key, value in command.items() if key != "at"}
        await asyncio.sleep(max(began + command["at"] - loop.time(), 0))
        await carry_out(sim, words)


async def lively(sim: Simulator) -> None:
    """Move power up and down within 60 kW, as over a day of a quarter of an hour, until the first write.

    From then on power is what is commanded, so that the zero at the end of a setpoint is seen.
    """
    while not sim.write_log:
        sim.model.profile_w = round(60 * math.sin(sim.model.seconds / 900 * 2 * math.pi)) * 1000.0
        await asyncio.sleep(1)
    sim.model.profile_w = 0.0

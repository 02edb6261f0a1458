"""The same registers as a YAML configuration of Home Assistant's `modbus` integration."""

from collections.abc import Callable
from typing import Any

from .words import FLAGS, NUMBERS, REQUESTS, Number

MEASURED = {"W": "power", "A": "current", "V": "voltage"}


def _named(key: str) -> dict[str, str]:
    return {"name": f"bench {key}", "unique_id": f"bench_{key}"}


def _unit(number: Number) -> dict[str, Any]:
    if number.unit not in MEASURED:
        return {}
    return {
        "unit_of_measurement": number.unit,
        "device_class": MEASURED[number.unit],
        "state_class": "measurement",
    }


def _register(key: str, address: int, interval: int, **more: Any) -> dict[str, Any]:
    space = "input" if address < REQUESTS[2][1] else "holding"
    return {**_named(key), "address": address, "input_type": space, "scan_interval": interval, **more}


def _hub(port: int, sensors: list[dict[str, Any]], bits: Callable[[int], str], more: list[Any]) -> dict[str, Any]:
    flags = [
        {**_named(key), "state": f"{{{{ states('{bits(address)}') | int(0) | bitwise_and({1 << bit}) > 0 }}}}"}
        for key, address, bit in FLAGS
    ]
    hub = {"name": "bench", "type": "tcp", "host": "127.0.0.1", "port": port, "sensors": sensors}
    return {"modbus": [hub], "template": [{"binary_sensor": flags, "sensor": more}]}


def usual(port: int, interval: int) -> dict[str, Any]:
    """One sensor for each register, as the documentation shows it, and a template for each bit."""
    sensors = [
        _register(
            one.key,
            one.address,
            interval,
            scale=one.scale,
            **_unit(one),
            **({"data_type": "uint32", "swap": "word"} if one.words > 1 else {"data_type": "int16"}),
        )
        for one in NUMBERS
    ]
    keys = {one.address: one.key for one in NUMBERS}
    return _hub(port, sensors, lambda address: f"sensor.bench_{keys[address]}", [])


def best(port: int, interval: int) -> dict[str, Any]:
    """Three requests for blocks of registers, and templates for everything in them."""

    def word(address: int) -> str:
        index, first = next((i, first) for i, (_, first, n) in enumerate(REQUESTS) if first <= address < first + n)
        return f"sensor.bench_raw{index}" + (f"_{address - first}" if address > first else "")

    def value(one: Number) -> str:
        low = f"states('{word(one.address)}') | int(0)"
        if one.words == 1:
            return f"{{{{ ({low}) * {one.scale} }}}}"
        return f"{{{{ ({low}) % 65536 + (states('{word(one.address + 1)}') | int(0)) % 65536 * 65536 }}}}"

    blocks = [
        _register(f"raw{i}", first, interval, data_type="int16", virtual_count=count - 1)
        for i, (_, first, count) in enumerate(REQUESTS)
    ]
    return _hub(port, blocks, word, [{**_named(one.key), **_unit(one), "state": value(one)} for one in NUMBERS])

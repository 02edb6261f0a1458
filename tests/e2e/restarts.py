"""Home Assistant, device and gateway as processes of their own, restarted in every order with 20 kW held.

Run it by `scripts/restarts`, which makes its environment first. The integration is on Home Assistant's shared
connection, as is another one; Home Assistant's `modbus` has a connection of its own. It fails if one of the three does
not come back by itself, if power is left at the device, or if anything but setpoints is written.
"""

# ruff: noqa: T201, S603 - it is a command, which prints; it starts the gateway

import argparse
import subprocess
import sys
import tempfile
import time
from itertools import permutations
from pathlib import Path
from typing import override

from .ess import DOMAIN, Ess
from .home_assistant import ROOT, HomeAssistant, free_port, is_free, until
from .simulator import Simulator

COMPONENTS = Path(__file__).parent / "components"
PARTS = ("home_assistant", "device", "gateway")
WHO = ("this", "neighbour on the shared connection", "modbus")
SOC_ADDRESS = 0x121
POWER_W = 20_000
DOWN_S = 5.0
PATIENCE_S = 180.0
SETPOINTS = range(0x203, 0x20B)


class Home(HomeAssistant):
    """A Home Assistant with both neighbours."""

    def __init__(self, folder: Path, port: int, link: int) -> None:
        """Take the port at which all three reach the device."""
        super().__init__(folder, port)
        self._link = link

    @override
    def prepare(self) -> None:
        super().prepare()
        folder = self.folder / "custom_components" / "neighbour"
        folder.unlink(missing_ok=True)
        folder.symlink_to(COMPONENTS / "neighbour")
        with (self.folder / "configuration.yaml").open("a") as configuration:
            configuration.write(
                f"""
neighbour:
  port: {self._link}
  address: {SOC_ADDRESS}
modbus:
  - name: hub
    type: tcp
    host: 127.0.0.1
    port: {self._link}
    sensors:
      - name: Word in YAML
        address: {SOC_ADDRESS}
        input_type: input
        scan_interval: 1
"""
            )


class Plant:
    """The three processes."""

    def __init__(self, folder: Path) -> None:
        """Nothing runs yet."""
        self.link = free_port()
        self.device = Simulator(free_port(), folder / "simulator.out")
        self.ha = Home(folder / "config", free_port(), self.link)
        self._gateway: subprocess.Popen[bytes] | None = None

    def start(self, part: str) -> None:
        """Start a part; Home Assistant is waited for."""
        if part == "home_assistant":
            self.ha.start()
        elif part == "device":
            self.device.start()
        else:
            command = [sys.executable, "-m", "tests.e2e.gateway", str(self.link), str(self.device.port)]
            self._gateway = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
            until(lambda: not is_free(self.link), PATIENCE_S, "gateway")

    def stop(self, part: str) -> None:
        """End a part: Home Assistant as a user does, the others at once."""
        if part == "home_assistant":
            self.ha.stop()
        elif part == "device":
            self.device.stop()
        elif self._gateway is not None:
            self._gateway.kill()
            self._gateway.wait()

    def shown(self) -> tuple[str, ...]:
        """Return the state of charge that each of the three shows."""
        states = self.ha.states()
        (entry,) = self.ha.entries(DOMAIN)
        soc = Ess(self.ha, entry).states()["soc"]["state"]
        return (soc, states["neighbour.word"]["state"], states["sensor.word_in_yaml"]["state"])

    def hold(self) -> None:
        """Hold power."""
        until(self._command, PATIENCE_S, "the command is taken")
        until(lambda: self.device.control(do="state")["setpoint"] == POWER_W, PATIENCE_S, f"{POWER_W} W")

    def _command(self) -> bool:
        self.ha.call(f"{DOMAIN}.set_power", {"active_power": POWER_W})
        return True


def restart(plant: Plant, order: tuple[str, ...], soc: int) -> list[float]:
    """Take all down and bring them back in this order; return how long after that each of the three is fresh."""
    plant.hold()
    for part in order:
        plant.stop(part)
    time.sleep(DOWN_S)
    for part in order:
        plant.start(part)
    plant.device.control(do="soc", percent=soc)
    began, fresh = time.monotonic(), dict[int, float]()

    def look() -> bool:
        for index, shown in enumerate(plant.shown()):
            if shown == str(soc):
                fresh.setdefault(index, time.monotonic() - began)
        return len(fresh) == len(WHO)

    until(look, PATIENCE_S, f"{soc} % everywhere")
    plant.ha.call(f"{DOMAIN}.release")
    state = plant.device.control(do="state")
    writes = {one["address"] for one in plant.device.control(do="write_log")}
    if state["setpoint"] != 0 or not writes <= set(SETPOINTS):
        raise RuntimeError(f"{state['setpoint']} W left, written: {sorted(map(hex, writes))}")
    return [fresh[index] for index in range(len(WHO))]


def main() -> None:
    """Restart them in every order, and print how soon all three are fresh again."""
    argparse.ArgumentParser(
        prog="scripts/restarts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plant = Plant(Path(folder))
        try:
            for part in reversed(PARTS):
                plant.start(part)
            form = {"host": "127.0.0.1", "port": plant.link, "connection": {"share_connection": True}}
            entry = plant.ha.add(DOMAIN, [{"next_step_id": "tcp"}, form, {"read_only": False}])
            plant.ha.options(entry, [{"poll_interval": 1, "control": {"start_delay": 0, "ramp_rate": 100}}])
            for number, order in enumerate(permutations(PARTS)):
                took = restart(plant, order, 41 + number)
                times = ", ".join(f"{who} {seconds:.1f} s" for who, seconds in zip(WHO, took, strict=True))
                print(f"{', '.join(order)}: {times}", flush=True)
        finally:
            for part in PARTS:
                plant.stop(part)


if __name__ == "__main__":
    main()

"""The integration as a user of Home Assistant's interfaces sees it."""

from typing import Any

from .home_assistant import Answer, HomeAssistant

DOMAIN = "refu_ess"
TITLE = "REFU ESS"
DASHBOARD = "refu-ess"


def link(port: int, host: str = "127.0.0.1") -> Answer:
    """Return a user's answers to the form of the connection."""
    return {"host": host, "port": port}


def steps(port: int, host: str = "127.0.0.1", transport: str = "tcp") -> list[Answer]:
    """Return a user's answers to set up an ESS that may be controlled."""
    return [{"next_step_id": transport}, link(port, host), {"read_only": False}]


class Ess:
    """The one config entry of the integration."""

    def __init__(self, ha: HomeAssistant, entry: Answer) -> None:
        """Take what the flow made."""
        self.ha = ha
        self.entry = entry
        self.entry_id: str = entry["entry_id"]

    def registered(self) -> dict[str, Answer]:
        """Return the registered entities by the key that their unique id ends with."""
        (found,) = self.ha.ws({"type": "config/entity_registry/list"})
        prefix = f"{self.entry_id}_"
        return {
            entity["unique_id"].removeprefix(prefix): entity
            for entity in found
            if entity["config_entry_id"] == self.entry_id
        }

    def states(self) -> dict[str, Answer]:
        """Return the states of its enabled entities by key."""
        states = self.ha.states()
        ids = {key: entity["entity_id"] for key, entity in self.registered().items() if not entity["disabled_by"]}
        return {key: states[entity_id] for key, entity_id in ids.items() if entity_id in states}

    def devices(self) -> dict[str, str]:
        """Return the names of its devices by id."""
        (found,) = self.ha.ws({"type": "config/device_registry/list"})
        return {device["id"]: device["name"] for device in found if device["config_entry_id"] == self.entry_id}

    def diagnostics(self) -> dict[str, Any]:
        """Return the data of its diagnostics download."""
        return dict(self.ha.rest("GET", f"/api/diagnostics/config_entry/{self.entry_id}")["data"])

    def energy_source(self) -> Answer:
        """Return the battery of the energy dashboard as a user would configure it."""
        entities = self.registered()
        return {
            "type": "battery",
            "stat_energy_from": entities["battery_discharge_energy"]["entity_id"],
            "stat_energy_to": entities["battery_charge_energy"]["entity_id"],
            "stat_rate": entities["active_power"]["entity_id"],
            "stat_soc": entities["soc"]["entity_id"],
            "capacity": 130,
        }


def make_home(ha: HomeAssistant, ess: Ess) -> None:
    """Make the energy dashboard and let the ESS's own dashboard be what is seen after signing in."""
    ha.ws(
        {"type": "energy/save_prefs", "energy_sources": [ess.energy_source()]},
        {"type": "frontend/set_system_data", "key": "core", "value": {"default_panel": DASHBOARD}},
    )

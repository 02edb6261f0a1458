"""The base of all entities: identity, device, availability, and writing a state only when it changed."""

from abc import abstractmethod
from typing import Any, NamedTuple, override

from homeassistant.core import callback
from homeassistant.helpers.device_registry import ChildDeviceInfo, DeviceInfo
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .const import DOMAIN
from .coordinator import RefuEssCoordinator
from .describe import RefuEssEntityDescription
from .ess import Part

MANUFACTURER = "REFU"
MODEL = "Battery inverter ESS"


class Shown(NamedTuple):
    """Availability, value and attributes of an entity."""

    available: bool
    value: Any = None
    attributes: dict[str, Any] | None = None


GONE = Shown(available=False)


def ess_device_info(coordinator: RefuEssCoordinator) -> DeviceInfo:
    """Return the device of the whole ESS."""
    entry = coordinator.config_entry
    return DeviceInfo(identifiers={(DOMAIN, entry.entry_id)}, name=entry.title, manufacturer=MANUFACTURER, model=MODEL)


def part_identifier(entry_id: str, part: Part, group: int | None) -> tuple[str, str]:
    """Return the identifier of the device of a part."""
    slug = part.value if group is None else f"{part.value}_group_{group}"
    return (DOMAIN, f"{entry_id}_{slug}")


def part_device_info(coordinator: RefuEssCoordinator, part: Part, group: int | None) -> DeviceInfo | ChildDeviceInfo:
    """Return the device of a part: a child of the ESS, so that targeting the ESS includes its parts.

    Where an earlier release registered the part as a device of its own, the registry turns that one into a child
    under the same id, with its name, area, labels and entities.
    """
    if part is Part.ESS:
        return ess_device_info(coordinator)
    entry = coordinator.config_entry
    return ChildDeviceInfo(
        identifiers={part_identifier(entry.entry_id, part, group)},
        parent_device_id=coordinator.device_id,
        translation_key=part.value if group is None else f"{part.value}_group",
        translation_placeholders={"group": str(group)},
    )


class RefuEssEntity(CoordinatorEntity[RefuEssCoordinator]):
    """An entity of one ESS."""

    _attr_has_entity_name = True
    entity_description: RefuEssEntityDescription

    def __init__(self, coordinator: RefuEssCoordinator, description: RefuEssEntityDescription) -> None:
        """Derive the identity from the config entry: the device has no serial number."""
        super().__init__(coordinator, description.keys)
        self.entity_description = description
        self._attr_unique_id = f"{coordinator.config_entry.entry_id}_{description.key}"
        self._shown = self._look()

    @abstractmethod
    def _read(self) -> Shown:
        """Return the state to show while available."""

    def _look(self) -> Shown:
        available = self.entity_description.keys.isdisjoint(self.coordinator.data.unavailable)
        return self._read() if available else GONE

    @property
    @override
    def device_info(self) -> DeviceInfo | ChildDeviceInfo:
        # Asked for once, so not kept: there are many entities.
        return part_device_info(self.coordinator, self.entity_description.part, self.entity_description.group)

    @property
    @override
    def available(self) -> bool:
        return self._shown.available

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any] | None:
        return self._shown.attributes

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        if (shown := self._look()) != self._shown:
            self._shown = shown
            self.async_write_ha_state()

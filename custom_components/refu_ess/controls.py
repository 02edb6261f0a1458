"""The control entities together: none of them exists while the option "read-only" is on."""

from collections.abc import Mapping

from . import button, event, number, select, sensor, switch
from .describe import RefuEssEntityDescription

CONTROLS: Mapping[str, tuple[RefuEssEntityDescription, ...]] = {
    "button": button.BUTTONS,
    "event": event.EVENTS,
    "number": number.SETPOINTS,
    "select": select.SELECTS,
    "sensor": sensor.CONTROL_SENSORS,
    "switch": switch.SWITCHES,
}
"""Every control description by its platform."""

"""A config entry cannot be loaded without a flow."""

from homeassistant.config_entries import ConfigFlow


class ReferenceFlow(ConfigFlow, domain="bench_reference"):
    """Never shown."""

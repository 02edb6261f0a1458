"""A blueprint's own decision: the template in its file, rendered by Home Assistant at a time of our choice."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from homeassistant.components.automation.config import AUTOMATION_BLUEPRINT_SCHEMA
from homeassistant.components.blueprint.models import Blueprint, BlueprintInputs
from homeassistant.core import HomeAssistant
from homeassistant.helpers.template import Template
from homeassistant.util import yaml as yaml_util

FOLDER = Path(__file__).parents[2] / "blueprints" / "automation" / "refu_ess"


class Rule:
    """One variable of a blueprint that is filled in."""

    def __init__(self, hass: HomeAssistant, name: str, variable: str, inputs: Mapping[str, Any]) -> None:
        """Fill in the blueprint `name` and take its `variable`, which depends on states and inputs only."""
        path = FOLDER / f"{name}.yaml"
        blueprint = Blueprint(yaml_util.load_yaml_dict(path), path=path.name, schema=AUTOMATION_BLUEPRINT_SCHEMA)
        filled = BlueprintInputs(blueprint, {"use_blueprint": {"path": path.name, "input": dict(inputs)}})
        filled.validate()
        variables = dict(filled.async_substitute()["variables"])
        self._template = Template(variables.pop(variable), hass)
        self._inputs = variables

    def __call__(self, moment: datetime, **more: Any) -> Any:
        """Return what it says at `moment`."""
        return self._template.async_render({**self._inputs, "now": lambda: moment, **more})

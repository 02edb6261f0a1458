"""A house that reads the blueprints of this repository, at a known time."""

from collections.abc import AsyncIterator, Iterator
from unittest.mock import PropertyMock, patch

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.blueprint.models import DomainBlueprints
from homeassistant.core import HomeAssistant

from .house import FOLDER, START, House


@pytest.fixture(autouse=True)
def _folder() -> Iterator[None]:
    """Home Assistant reads the blueprints of this repository."""
    with patch.object(DomainBlueprints, "blueprint_folder", PropertyMock(return_value=FOLDER)):
        yield


@pytest.fixture(autouse=True)
async def _utc(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """It is a known time, in a known zone."""
    await hass.config.async_set_time_zone("UTC")
    freezer.move_to(START)


@pytest.fixture
async def house_without_ess(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[House]:
    """A house for the integration or without an ESS; its automations are turned off at the end."""
    house = House(hass, freezer, caplog)
    yield house
    await house.turn_off()


@pytest.fixture
def house(house_without_ess: House) -> House:
    """A house whose ESS only records the commands."""
    house_without_ess.add_ess()
    return house_without_ess

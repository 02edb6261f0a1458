"""Finds the ESS of an action, by target, by config entry, or the only one; and checks its caller's rights."""

from dataclasses import dataclass
from typing import Any

import voluptuous as vol
from homeassistant.auth.permissions.const import POLICY_CONTROL
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import ATTR_CONFIG_ENTRY_ID
from homeassistant.core import ServiceCall
from homeassistant.exceptions import ServiceValidationError, Unauthorized, UnknownUser
from homeassistant.helpers import config_validation as cv, entity_registry as er
from homeassistant.helpers.service import async_extract_config_entry_ids, async_get_config_entry

from .const import DOMAIN
from .coordinator import RefuEssConfigEntry, RefuEssCoordinator

WHICH_ESS: dict[Any, Any] = {vol.Optional(ATTR_CONFIG_ENTRY_ID): cv.string, **cv.ENTITY_SERVICE_FIELDS}
"""The fields of an action's schema that name its ESS."""
_TARGET_FIELDS = frozenset(str(marker) for marker in cv.ENTITY_SERVICE_FIELDS)


@dataclass(frozen=True, kw_only=True)
class Right:
    """The permission on entities of the ESS that a user needs to call an action."""

    keys: frozenset[str]
    """The entities that do or show the same as the action. Those of the other kind of setpoint do not exist."""
    policy: str = POLICY_CONTROL


async def async_coordinator_of(call: ServiceCall, right: Right) -> RefuEssCoordinator:
    """Return the coordinator of the one ESS that a call is for.

    An action on several at once is refused: what it would do to each, and what it should answer, would be a guess.
    Raises `ServiceValidationError` unless the call means exactly one ESS that is set up, and `Unauthorized` if its
    user lacks the right.
    """
    hass = call.hass
    ours: dict[str, RefuEssConfigEntry] = {entry.entry_id: entry for entry in hass.config_entries.async_entries(DOMAIN)}
    named: str | None = call.data.get(ATTR_CONFIG_ENTRY_ID)
    if any(call.data.get(field) for field in _TARGET_FIELDS):
        meant = (await async_extract_config_entry_ids(call)) & ours.keys()
        if not meant:
            raise _refused("target_without_ess")
        if named is not None and meant != {named}:
            raise _refused("target_and_entry_differ")
    elif named is not None:
        meant = {named}
    else:
        meant = {entry_id for entry_id, entry in ours.items() if entry.state is ConfigEntryState.LOADED}
    if len(meant) > 1:
        raise _refused("several_ess", names=", ".join(sorted(ours[entry_id].title for entry_id in meant)))
    coordinator = _loaded(call, next(iter(meant), None))
    await _async_check(call, coordinator.config_entry.entry_id, right)
    return coordinator


async def _async_check(call: ServiceCall, entry_id: str, right: Right) -> None:
    """Raise `Unauthorized` unless the caller has the right. Calls of Home Assistant itself have every right."""
    user_id, policy = call.context.user_id, right.policy
    if user_id is None:
        return
    user = await call.hass.auth.async_get_user(user_id)
    if user is None:
        raise UnknownUser(context=call.context, permission=policy, user_id=user_id)
    registry = er.async_get(call.hass)
    entities = [
        entity.entity_id
        for entity in er.async_entries_for_config_entry(registry, entry_id)
        if entity.unique_id.removeprefix(f"{entry_id}_") in right.keys
    ]
    if user.is_admin or (entities and all(user.permissions.check_entity(entity, policy) for entity in entities)):
        return
    raise Unauthorized(context=call.context, permission=policy, user_id=user_id, config_entry_id=entry_id)


def _loaded(call: ServiceCall, entry_id: str | None) -> RefuEssCoordinator:
    entry: RefuEssConfigEntry = async_get_config_entry(call.hass, DOMAIN, entry_id)
    return entry.runtime_data


def _refused(key: str, **placeholders: str) -> ServiceValidationError:
    return ServiceValidationError(
        translation_domain=DOMAIN, translation_key=key, translation_placeholders=placeholders or None
    )

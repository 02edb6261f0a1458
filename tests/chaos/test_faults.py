"""Faults of wire and device: nothing false is shown, nothing is written that nobody asked for, and all comes back."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity import Entity

from custom_components.refu_ess import connection, const
from custom_components.refu_ess.ess import block, link

from .faults import CASES, FOLDER_VARIABLE, Case
from .observer import listening
from .runner import Run, simulator

FOLDER = os.environ.get(FOLDER_VARIABLE)
"""Where `scripts/faults` wants its results; it runs every case with the timeouts of the product."""
QUICK_TIMEOUT_S, QUICK_DEADLINE_S = 0.5, 0.8
QUICK_LASTS_S = 1.5
REFUSED_RETRY_S = 10.0
"""In place of 300 s."""
QUICK = frozenset(
    {
        "half_open-tcp-private-held",
        "reset-rtu_over_tcp-shared-held",
        "wrong_function-tcp-shared-idle",
        "silence-tcp-private-held",
        "too_late-serial-private-held",
        "wrong_checksum-serial-shared-idle",
        "adapter-serial-private-idle",
        "exception_6-tcp-private-held",
        "silent_setpoints-serial-private-held",
        "reboot_keeps-tcp-private-held",
    }
)
"""Cases of the ordinary suite: every transport, link and kind of fault."""

pytestmark = [
    pytest.mark.usefixtures("socket_enabled"),
    pytest.mark.timeout(240),
]


@pytest.fixture(autouse=True)
def _every_entity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at every entity, also at those that a user has to enable."""
    monkeypatch.setattr(Entity, "entity_registry_enabled_default", True)


def wanted(case: Case) -> bool:
    """Return whether a case is run: all for `scripts/faults` but those that have passed, else the quick ones."""
    if FOLDER is None:
        return case.key in QUICK
    result = Path(FOLDER) / f"{case.key}.json"
    return not result.exists() or bool(json.loads(result.read_text())["broken"])


def test_quick_cases_exist() -> None:
    """Each quick case is one of all."""
    assert {case.key for case in CASES} >= QUICK


@pytest.mark.parametrize("case", [case for case in CASES if wanted(case)], ids=lambda case: case.key)
async def test_fault(hass: HomeAssistant, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault costs nothing but availability, and that is over soon after the fault."""
    timeout_s, lasts_s = const.LINK_TIMEOUT_SECONDS, case.fault.lasts_s
    monkeypatch.setattr(block, "REFUSED_RETRY_SECONDS", REFUSED_RETRY_S)
    if FOLDER is None:
        timeout_s, lasts_s = QUICK_TIMEOUT_S, min(lasts_s, QUICK_LASTS_S)
        monkeypatch.setattr(connection, "LINK_TIMEOUT_SECONDS", timeout_s)
        monkeypatch.setattr(link, "DEADLINE_SECONDS", QUICK_DEADLINE_S)
        monkeypatch.setattr(block, "REFUSED_RETRY_SECONDS", 1.0)
    with listening() as log:
        async with simulator(case.transport) as sim:
            outcome = await Run(hass, sim, case, timeout_s=timeout_s, lasts_s=lasts_s).go(log)
    if FOLDER is not None:
        path = Path(FOLDER) / f"{case.key}.json"
        path.write_text(json.dumps(asdict(outcome)))
    assert outcome.broken == []

"""A deprecation that Home Assistant reports for this integration fails the test in which it is reported."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from homeassistant.core import HomeAssistant
from homeassistant.helpers.deprecation import deprecated_function
from homeassistant.helpers.frame import report_usage
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.refu_ess.const import DOMAIN

from .deprecations import Collector
from .generated import INTEGRATION


def from_the_integration(function: Callable[[], Any]) -> Any:
    """Call a function as a file of the integration would."""
    found: dict[str, Any] = {"function": function}
    exec(compile("result = function()", str(INTEGRATION / "sensor.py"), "exec"), found)  # noqa: S102 - as a file of ours
    return found["result"]


@deprecated_function("something_new")
def old() -> int:
    """Return a number."""
    return 1


async def test_usage_by_the_integration_is_caught(
    hass: HomeAssistant, loaded: MockConfigEntry, deprecations: list[str]
) -> None:
    """Home Assistant names the integration of an entity or an entry."""
    report_usage("does what it should not", integration_domain=DOMAIN)
    assert ["does what it should not" in report for report in deprecations] == [True]
    deprecations.clear()


@pytest.mark.usefixtures("loaded")
async def test_usage_by_a_file_is_caught(hass: HomeAssistant, deprecations: list[str]) -> None:
    """Home Assistant finds the file of ours among the callers."""
    from_the_integration(lambda: report_usage("calls what will go", breaks_in_ha_version="2099.1"))
    assert ["calls what will go" in report for report in deprecations] == [True]
    deprecations.clear()


@pytest.mark.usefixtures("loaded")
async def test_deprecated_function_is_caught(hass: HomeAssistant, deprecations: list[str]) -> None:
    """Functions and constants report themselves in other words."""
    assert from_the_integration(old) == 1
    assert ["something_new" in report for report in deprecations] == [True]
    deprecations.clear()


@pytest.mark.parametrize(
    ("name", "level", "text"),
    [
        pytest.param("homeassistant.helpers.frame", logging.WARNING, "custom integration 'other' does", id="another's"),
        pytest.param("homeassistant.helpers.frame", logging.INFO, f"custom integration '{DOMAIN}' is", id="no warning"),
        pytest.param("homeassistant.loader", logging.WARNING, f"We found a custom integration {DOMAIN}", id="loading"),
        pytest.param(f"custom_components.{DOMAIN}", logging.ERROR, f"integration '{DOMAIN}'", id="our own"),
    ],
)
def test_other_lines_are_no_reports(name: str, level: int, text: str) -> None:
    """Reports about other integrations, and this integration's own log lines, fail nothing."""
    collector = Collector()
    record = logging.LogRecord(name, level, __file__, 1, text, None, None)
    if record.levelno >= collector.level:
        collector.handle(record)
    assert collector.reports == []


def test_report_fails_the_test(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fixture ends a test that provoked a report with an error."""
    plugin = "tests.latest_release"
    first = ["-p", plugin] if request.config.pluginmanager.has_plugin(plugin) else []
    monkeypatch.setenv("PYTHONPATH", str(INTEGRATION.parents[1]))
    pytester.makeconftest(
        f"import sys\nsys.path.insert(0, {str(INTEGRATION.parents[1])!r})\nfrom tests.conftest import deprecations\n"
    )
    pytester.makepyfile(
        f"""
        import logging
        def test_one():
            logging.getLogger("homeassistant.helpers.frame").warning("custom integration '{DOMAIN}' is old")
        """
    )
    result = pytester.runpytest_subprocess(*first, "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-q")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*Home Assistant reports:*"])

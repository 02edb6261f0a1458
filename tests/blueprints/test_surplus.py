"""Surplus: charges what would be exported, discharges what would be imported."""

import pytest

from .house import House

PAUSE = "input_boolean.pause"


@pytest.mark.parametrize(
    ("grid", "ess", "soc", "powers"),
    [
        pytest.param(-30, 0, 60, [-30_000], id="export"),
        pytest.param(30, 0, 60, [30_000], id="import"),
        pytest.param(5, -30, 60, [-25_000], id="charges-too-much"),
        pytest.param(-5, 30, 60, [25_000], id="discharges-too-much"),
        pytest.param(2.9, 0, 60, [], id="import-too-small-to-start"),
        pytest.param(-2.9, 0, 60, [], id="export-too-small-to-start"),
        pytest.param(0, 2, 60, [2_000], id="half-is-enough-to-go-on"),
        pytest.param(0, 1.4, 60, [], id="too-small-to-go-on"),
        pytest.param(300, 0, 60, [100_000], id="highest-discharge-power"),
        pytest.param(-300, 0, 60, [-100_000], id="highest-charge-power"),
        pytest.param(30, 0, 17, [], id="too-empty-to-start"),
        pytest.param(30, 0, 18, [30_000], id="3-percent-above-the-lowest"),
        pytest.param(0, 30, 16, [30_000], id="discharges-to-the-lowest"),
        pytest.param(0, 30, 15, [], id="at-the-lowest"),
        pytest.param(-30, 0, 93, [], id="too-full-to-start"),
        pytest.param(-30, 0, 92, [-30_000], id="3-percent-below-the-highest"),
        pytest.param(0, -30, 94, [-30_000], id="charges-to-the-highest"),
        pytest.param(0, -30, 95, [], id="at-the-highest"),
    ],
)
async def test_command(house: House, grid: float, ess: float, soc: float, powers: list[float]) -> None:
    house.readings(grid, ess_kw=ess, soc=soc)
    await house.run("surplus")
    await house.wait(9)
    assert house.powers == powers


async def test_pause(house: House) -> None:
    house.readings(-30)
    house.show(PAUSE, "off")
    await house.run("surplus", pause=PAUSE)
    await house.wait(9)
    assert len(house.commands) == 1
    house.show(PAUSE, "on")
    await house.wait(30)
    assert len(house.commands) == 1

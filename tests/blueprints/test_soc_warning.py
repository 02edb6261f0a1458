"""State of charge warning: a reserve of 20 %, a critical level of 10 %, all clear at 30 %."""

import pytest

from .house import SOC, House

LOW = ("send", "Battery below its reserve", "Cellar: the state of charge is 19 %, below 20 %.")
FULL = ("send", "Battery reserve full again", "Cellar: the state of charge is 31 %.")


def critical(soc: int) -> tuple[str, str, str]:
    """Return the message at the critical level."""
    return ("send", "Battery nearly empty", f"Cellar: the state of charge is {soc} %, below 10 %.")


async def last(house: House, soc: object, seconds: int = 130) -> None:
    """Let the state of charge be this for more than the two minutes after which it counts."""
    house.show(SOC, soc, "%", friendly_name="Cellar")
    await house.settle()
    await house.wait(seconds, step=10)


async def test_a_dip_is_not_reported(house: House) -> None:
    """A state of charge below the reserve must last."""
    house.show(SOC, 40, "%", friendly_name="Cellar")
    await house.run("soc_warning")
    await last(house, 19, seconds=60)
    await last(house, 21)
    assert house.messages() == []
    await last(house, 19)
    assert house.messages() == [LOW]


@pytest.mark.parametrize(
    ("course", "messages"),
    [
        pytest.param([19, 15], [LOW], id="below-the-reserve"),
        pytest.param([19, 15, "unavailable", 15], [LOW], id="unavailable-in-between"),
        pytest.param([19, 9, 8], [LOW, critical(9)], id="falls-further"),
        pytest.param([19, 15, "unavailable", 15, 9, 8, 25, 9], [LOW, critical(9)], id="hovers"),
        pytest.param([9, 8, 25, 9], [critical(9)], id="critical-at-once"),
        pytest.param([19, 25, 29], [LOW], id="not-yet-clear"),
        pytest.param([19, 31, 40], [LOW, FULL], id="all-clear"),
        pytest.param([9, 31, 5], [critical(9), FULL, critical(5)], id="again-after-the-all-clear"),
        pytest.param(
            [19, 15, "unavailable", 15, 9, 8, 25, 9, 31, 40, 5],
            [LOW, critical(9), FULL, critical(5)],
            id="all-of-it",
        ),
    ],
)
async def test_one_message_for_each_stage(
    house: House, course: list[object], messages: list[tuple[str, str, str]]
) -> None:
    """One below the reserve, one at the critical level, one when it is full again."""
    house.show(SOC, 40, "%", friendly_name="Cellar")
    await house.run("soc_warning")
    for soc in course:
        await last(house, soc)
    assert house.messages() == messages

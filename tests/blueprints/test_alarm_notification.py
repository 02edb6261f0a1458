"""Alarm notification: a message for each alarm, reminders every ten minutes, an escalation with the second."""

import pytest

from .house import ALARMS, BUTTON, House

FIVE = [f"Alarm {number}" for number in range(5)]
ALL_FIVE = "Active: Alarm 0, Alarm 1, Alarm 2, Alarm 3, Alarm 4"


@pytest.fixture
def house(house: House) -> House:
    """A house without alarms, whose button has never been pressed."""
    house.show_alarms()
    house.show(BUTTON, "unknown")
    return house


async def raise_five(house: House) -> None:
    """Raise five alarms at once."""
    for text in FIVE:
        house.raise_alarm(text)
    await house.settle(10)


def tap(house: House, action: str) -> None:
    """Tap an action of a notification on the phone."""
    house.hass.bus.async_fire("mobile_app_notification_action", {"action": action})


async def test_alarms_at_once_are_sent_in_their_order(house: House) -> None:
    await house.run("alarm_notification")
    await raise_five(house)
    assert house.messages() == [("send", "REFU ESS: fault", f"{text} (fault, battery)") for text in FIVE]


async def test_reminders_list_all_alarms_and_escalate(house: House) -> None:
    """One reminder for all; the second goes to the next person too."""
    await house.run("alarm_notification")
    await raise_five(house)
    assert len(house.messages()) == 5
    await house.wait(605, step=5)
    assert house.messages() == [("send", "REFU ESS: reminder 1, not acknowledged", ALL_FIVE)]
    await house.wait(605, step=5)
    second = ("REFU ESS: reminder 2, not acknowledged", ALL_FIVE)
    assert house.messages() == [("send", *second), ("escalate", *second)]


async def test_a_button_ends_the_reminders(house: House) -> None:
    """The next alarm is sent again."""
    await house.run("alarm_notification")
    await raise_five(house)
    await house.wait(1210, step=5)
    assert len(house.messages()) == 8
    house.show(BUTTON, "2026-11-25T10:30:00+00:00")
    await house.wait(1800, step=5)
    assert house.messages() == []
    house.raise_alarm("Alarm 5", "warning")
    await house.settle()
    assert house.messages() == [("send", "REFU ESS: warning", "Alarm 5 (warning, battery)")]


async def test_the_phone_ends_the_reminders(house: House) -> None:
    """By the action of its notification, not by another one."""
    await house.run("alarm_notification")
    house.raise_alarm("Fan")
    await house.wait(100, step=10)
    tap(house, "SOMETHING_ELSE")
    await house.wait(600, step=10)
    assert len(house.messages()) == 2
    tap(house, "REFU_ESS_ACKNOWLEDGE")
    await house.wait(3000, step=10)
    assert house.messages() == []


async def test_the_reminders_end_with_their_number(house: House) -> None:
    """Three; the next alarm is sent again."""
    await house.run("alarm_notification")
    house.raise_alarm("Smoke")
    await house.wait(6000, step=10)
    assert [message.way for message in house.messages()] == ["send", "send", "send", "escalate", "send", "escalate"]
    house.clear_alarm("Smoke")
    house.raise_alarm("Fuse")
    await house.settle()
    assert house.messages() == [("send", "REFU ESS: fault", "Fuse (fault, battery)")]


async def test_the_reminders_end_with_the_last_alarm(house: House) -> None:
    """So does the run, which would wait in vain."""
    await house.run("alarm_notification")
    house.raise_alarm("Fuse")
    await house.wait(100, step=10)
    assert house.runs("alarm_notification") == 1
    house.clear_alarm("Fuse")
    await house.wait(3000, step=10)
    assert house.messages() == [("send", "REFU ESS: fault", "Fuse (fault, battery)")]
    assert house.runs("alarm_notification") == 0


async def test_an_alarm_during_reminders_is_sent_at_once(house: House) -> None:
    """It does not wait until the reminders of the one before have ended."""
    await house.run("alarm_notification")
    house.raise_alarm("Smoke")
    await house.wait(60, step=10)
    house.raise_alarm("Fuse")
    await house.wait(2)
    assert house.texts() == ["Smoke (fault, battery)", "Fuse (fault, battery)"]
    await house.wait(610, step=10)
    assert house.texts() == ["Active: Smoke, Fuse"]


async def test_a_start_and_a_reconnect_are_no_alarm(house: House) -> None:
    """The event shows again what it had shown before."""
    house.hass.states.async_remove(ALARMS)
    await house.run("alarm_notification", severities=["fault"])
    old = {"event_type": "raised", "text": "Old", "severity": "fault", "category": "battery"}
    for value in ("2026-11-24T10:00:00+00:00", "unavailable", "2026-11-24T10:00:00+00:00"):
        house.show(ALARMS, value, **(old if value != "unavailable" else {}))
        await house.settle()
    assert house.messages() == []
    house.raise_alarm("Smoke")
    await house.settle()
    assert house.texts() == ["Smoke (fault, battery)"]


async def test_only_the_chosen_severities_are_sent(house: House) -> None:
    await house.run("alarm_notification", severities=["fault"])
    house.raise_alarm("Mild", "warning")
    await house.settle()
    house.clear_alarm("Mild", "warning")
    await house.settle()
    assert house.messages() == []
    house.raise_alarm("Smoke")
    await house.settle()
    assert house.texts() == ["Smoke (fault, battery)"]


async def test_a_cleared_alarm_is_sent_if_wanted(house: House) -> None:
    await house.run("alarm_notification", tell_cleared=True)
    house.raise_alarm("Smoke")
    await house.settle()
    house.clear_alarm("Smoke", duration=5)
    await house.settle(5)
    assert house.messages() == [
        ("send", "REFU ESS: fault", "Smoke (fault, battery)"),
        ("send", "REFU ESS: alarm cleared", "Smoke (fault, battery)"),
    ]


async def test_a_cleared_alarm_leaves_the_reminders_of_the_others(house: House) -> None:
    """Its message interrupts them, and they go on."""
    await house.run("alarm_notification", tell_cleared=True)
    house.raise_alarm("Smoke")
    house.raise_alarm("Fuse")
    await house.wait(60, step=10)
    house.clear_alarm("Smoke")
    await house.wait(2)
    assert len(house.messages()) == 3
    await house.wait(610, step=10)
    assert house.texts() == ["Active: Fuse"]


async def test_a_cleared_alarm_starts_no_reminders(house: House) -> None:
    """Those of the others were acknowledged."""
    await house.run("alarm_notification", tell_cleared=True)
    house.raise_alarm("Smoke")
    house.raise_alarm("Fuse")
    await house.wait(60, step=10)
    house.show(BUTTON, "2026-11-25T10:30:00+00:00")
    await house.wait(2)
    house.clear_alarm("Smoke")
    await house.wait(700, step=10)
    assert house.texts()[-1] == "Smoke (fault, battery)"
    assert house.runs("alarm_notification") == 0

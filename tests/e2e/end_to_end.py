"""End-to-end tests in a real Home Assistant, shared by all tests, which depend on their order.

Run it by `scripts/end-to-end`, which makes its environment first.
"""

import json
import re
import shutil
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests import alarm_oracle as oracle
from tests.registers import REGISTER_MAP, WHOLE_BATTERY

from .browser import CHROMIUM, SHOTS, Browser, browser
from .editing import ENGLISH, Editor, served_blueprints, trigger_name
from .ess import DOMAIN, TITLE, Ess, link, make_home, steps
from .home_assistant import DEVELOP_CONFIG, ROOT, Answer, FlowError, HomeAssistant, free_port, until
from .simulator import Simulator, silent_server

CLOSED_WINDOW = "ClientConnectionResetError exception in shielded future"
"""Home Assistant's own error when a browser closes while a message is sent to it; a traceback follows."""
CHANNELS = REGISTER_MAP["channels"]
GERMAN = ROOT / "custom_components" / DOMAIN / "translations" / "de.json"

SOME_ARE_UNKNOWN = {"lease_end", "time_to_empty", "time_to_full", "round_trip_efficiency", "next_error_reset"}
"""They depend on which way power flows, on how much went through the battery, or on a command."""
PATIENCE_SECONDS = 30
"""Seconds until a change must be visible, at one poll a second."""
FAILURES_WITHOUT_A_WORD = 4
QUIET_SECONDS = 3
RESERVE = "refu_ess_state_of_charge_reserve_warning"
"""The automation of the blueprint."""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@dataclass
class Bench:
    """The processes that the tests share."""

    ha: HomeAssistant
    simulator: Simulator

    @property
    def ess(self) -> Ess:
        """The one that was set up."""
        for entry in self.ha.entries(DOMAIN):
            return Ess(self.ha, entry)
        pytest.skip("it could not be set up")

    def refused(self, answers: list[Answer]) -> str | None:
        """Try to set up an ESS, expect failure, and return the reason."""
        with pytest.raises(FlowError) as caught:
            self.ha.add(DOMAIN, answers)
        return caught.value.reason

    def command(self, ids: dict[str, str], watts: int) -> None:
        """Set the active power, and wait until the device has it."""
        self.ha.call("number.set_value", {"entity_id": ids["active_power_setpoint"], "value": watts / 1000})
        until(lambda: self.simulator.control(do="state")["setpoint"] == watts, PATIENCE_SECONDS, f"setpoint {watts} W")

    def writes_in(self, seconds: float) -> int:
        """Count what is written to the device within some time."""
        before = len(self.simulator.control(do="write_log"))
        time.sleep(seconds)
        return len(self.simulator.control(do="write_log")) - before

    def wait_for_all(self, since: Answer | None = None) -> None:
        """Wait until every entity is available, in case of a reload since the state of the SoC was this."""

        def available() -> bool:
            states = ess.states()
            return not having(states, "unavailable") and (
                since is None or states["soc"]["last_changed"] != since["last_changed"]
            )

        ess = self.ess
        until(available, PATIENCE_SECONDS, "every entity available")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A new Home Assistant and the simulator."""
    folder: Path = tmp_path_factory.mktemp("bench")
    simulator = Simulator(free_port(), folder / "simulator.out")
    ha = HomeAssistant(folder / "config", free_port())
    try:
        simulator.start()
        ha.start()
        yield Bench(ha, simulator)
    finally:
        ha.stop()
        simulator.stop()
        SHOTS.mkdir(exist_ok=True)
        for log in (simulator.log_file, ha.log_file):
            if log.exists():
                shutil.copy(log, SHOTS)


def having(states: dict[str, Answer], state: str) -> set[str]:
    """Return the keys of the entities that have this state; what shows only when it happened counts as known."""
    momentary = ("button.", "event.") if state == "unknown" else ()
    return {
        key for key, found in states.items() if found["state"] == state and not found["entity_id"].startswith(momentary)
    }


# Setting up


def test_flow_says_what_is_wrong(bench: Bench) -> None:
    """Each mistake has a message of its own, and leaves no entry behind."""
    assert bench.refused(steps(free_port())) == "refused"
    assert bench.refused(steps(502, "no-such-host.invalid")) == "no_such_host"
    for transport in ("tcp", "rtu_over_tcp"):
        with silent_server() as port:
            assert bench.refused(steps(port, transport=transport)) == "no_answer"
    bench.simulator.control(do="refuse_block", **WHOLE_BATTERY)
    assert bench.refused(steps(bench.simulator.port)) == "illegal_address"
    bench.simulator.control(do="heal")
    assert bench.ha.entries(DOMAIN) == []


def test_flow_sets_up(bench: Bench) -> None:
    """The flow makes one entry, which is loaded, and does not make it twice."""
    entry = bench.ha.add(DOMAIN, steps(bench.simulator.port))
    assert entry["title"] == TITLE
    assert bench.ess.entry["state"] == "loaded"
    assert bench.refused(steps(bench.simulator.port)) == "already_configured"
    make_home(bench.ha, bench.ess)


def test_states_are_filled(bench: Bench) -> None:
    """Every enabled entity shows what the simulator says."""
    states = bench.ess.states()
    assert len(states) > 60
    assert having(states, "unavailable") == set()
    assert having(states, "unknown") <= SOME_ARE_UNKNOWN
    assert float(states["soc"]["state"]) == pytest.approx(bench.simulator.control(do="state")["soc"], abs=1)


def test_diagnostics(bench: Bench) -> None:
    """The download holds every channel of the channel table, and neither the host nor the name."""
    found = bench.ess.diagnostics()
    assert TITLE not in json.dumps(found)
    assert found["channels"].keys() == {channel["name"] for channel in CHANNELS}
    assert [name for name, channel in found["channels"].items() if not channel["available"]] == []
    assert found["entry"]["data"]["host"] == "**REDACTED**"
    assert "127.0.0.1" not in json.dumps(found)


def test_dashboard(bench: Bench) -> None:
    """Every entity on the dashboard of scripts/develop is there."""
    wanted = set(re.findall(r"entity: (\S+)", (DEVELOP_CONFIG / "dashboard.yaml").read_text()))
    assert wanted - bench.ha.states().keys() == set()


def test_energy(bench: Bench) -> None:
    """The energy dashboard takes the entities as they are."""
    verdict, statistics = bench.ha.ws({"type": "energy/validate"}, {"type": "recorder/validate_statistics"})
    issues = {issue["type"] for source in verdict["energy_sources"] for issue in source}
    # Statistics are made when the clock's minutes next divide by five.
    assert issues <= {"statistics_not_defined"}
    assert statistics == {}


# Changing


def test_options(bench: Bench) -> None:
    """Options apply at once; battery groups that are not there vanish, and come back."""
    ess = bench.ess
    every = sorted(ess.devices().values())
    no_ramp = {"start_delay": 0, "ramp_rate": 100}
    bench.ha.options(ess.entry, [{"poll_interval": 1, "battery_groups": 2, "control": no_ramp}])
    until(lambda: len(ess.devices()) == len(every) - 2, PATIENCE_SECONDS, "two battery groups less")
    bench.ha.options(ess.entry, [{"battery_groups": 4}])
    until(lambda: sorted(ess.devices().values()) == every, PATIENCE_SECONDS, "all battery groups again")
    bench.wait_for_all()


@pytest.mark.parametrize("transport", ["rtu_over_tcp", "tcp"])
def test_reconfigure(bench: Bench, transport: str) -> None:
    """At another port and by another transport every entity keeps its ids."""

    def identities() -> dict[str, str]:
        return {entity["unique_id"]: entity["entity_id"] for entity in ess.registered().values()}

    ess = bench.ess
    before, soc = identities(), ess.states()["soc"]
    port = bench.simulator.rtu_port if transport == "rtu_over_tcp" else bench.simulator.port
    bench.ha.reconfigure(ess.entry, [{"next_step_id": transport}, link(port)])
    bench.wait_for_all(soc)
    data = ess.diagnostics()["entry"]["data"]
    assert (data["transport"], data["port"]) == (transport, port)
    assert identities() == before


@pytest.mark.parametrize(("loss", "return_"), [("unplug", "plug"), ("silence", "heal")])
def test_lost_link(bench: Bench, loss: str, return_: str) -> None:
    """Without the device, nothing looks available; the log says so in one line each way."""

    def failed() -> int:
        return sum(ess.diagnostics()["link"]["errors"].values())

    ess = bench.ess
    channels = ess.diagnostics()["channels"].values()
    registered = ess.registered()
    readings = {registered[channel["key"]]["entity_id"] for channel in channels if channel["registers"]}
    began, failed_before = len(bench.ha.log()), failed()
    bench.simulator.control(do=loss)
    try:
        until(lambda: ess.states()["soc"]["state"] == "unavailable", PATIENCE_SECONDS, "unavailable")
        until(lambda: failed() > failed_before + FAILURES_WITHOUT_A_WORD, PATIENCE_SECONDS, "more polls")
        states = bench.ha.states()
    finally:
        bench.simulator.control(do=return_)
    lost = bench.ha.log()[began:]
    bench.wait_for_all()
    back = bench.ha.log()[began + len(lost) :]
    assert {states[entity]["state"] for entity in readings & states.keys()} == {"unavailable"}
    assert (len(lost), len(back)) == (1, 1), "\n".join([*lost, "and back:", *back])


# Looking


@needs_chromium
def test_browser(bench: Bench) -> None:
    """A user finds everything, and the browser logs no error."""
    devices = {name: device for device, name in bench.ess.devices().items()}
    with browser(bench.ha) as window:
        window.settle("State of charge")
        window.shoot("dashboard")
        assert window.page.get_by_text("Entity not found").count() == 0
        window.visit(f"/config/integrations/integration/{DOMAIN}", "Battery")
        window.shoot("integration")
        for name in (TITLE, "Battery", "DC/DC converter", "Battery group 1"):
            window.visit(f"/config/devices/device/{devices[name]}", name)
            window.shoot("device-" + re.sub(r"\W+", "-", name.lower()))
        window.visit("/energy", "Energy distribution")
        window.shoot("energy")
        window.visit("/config/energy", "Battery")
        window.shoot("energy-config")
        see_flow(window)
        assert window.complaints == []
        assert window.outside == set()


def see_flow(window: Browser) -> None:
    """Begin to add another ESS by hand, and make a mistake."""
    page = window.page
    page.goto(f"{window.ha.url}/config/integrations/dashboard/add?domain={DOMAIN}")
    window.click("OK")
    page.get_by_text(ENGLISH["config"]["step"]["user"]["title"]).wait_for()
    window.shoot("flow-menu")
    page.get_by_text("Modbus TCP", exact=True).click()
    page.get_by_role("textbox", name="Host").fill("127.0.0.1")
    page.get_by_role("spinbutton", name="Port").fill(str(free_port()))
    page.get_by_text(ENGLISH["config"]["step"]["tcp"]["sections"]["connection"]["name"]).click()
    window.shoot("flow-form")
    window.click("Submit")
    page.get_by_text("The host refused the connection").wait_for()
    window.shoot("flow-error")


HEIGHT = 2400
WIDTHS = {"desktop": 1400, "phone": 390}


def cut_off(bench: Bench, language: str) -> dict[str, list[str]]:
    """Return what is cut off on the pages of the devices, by window and page; groups are all alike."""
    pages = {name: device for device, name in bench.ess.devices().items() if not re.search("[2-9]$", name)}
    found = {}
    with browser(bench.ha, language=language) as window:
        for name, device in pages.items():
            window.page.goto(f"{window.ha.url}/config/devices/device/{device}")
            window.page.locator("ha-device-entities-card").first.wait_for()
            for kind, width in WIDTHS.items():
                window.page.set_viewport_size({"width": width, "height": HEIGHT})
                found[f"{kind}, {name}"] = window.cut_off()
    return {page: texts for page, texts in found.items() if texts}


@needs_chromium
def test_nothing_is_cut_off(bench: Bench) -> None:
    """Every name and state has room on the pages of the devices."""
    assert cut_off(bench, "en") == {}


@needs_chromium
@pytest.mark.skipif(not GERMAN.exists(), reason="there is no German translation")
def test_browser_in_german(bench: Bench) -> None:
    """In a German Home Assistant, the device is in German."""
    german = json.loads(GERMAN.read_text())["entity"]["sensor"]
    ess = bench.ess
    bench.ha.speak("de")
    bench.ha.call("homeassistant.reload_config_entry", {"entry_id": ess.entry_id})
    device = next(device for device, name in ess.devices().items() if name == TITLE)
    with browser(bench.ha, language="de") as window:
        window.visit(f"/config/devices/device/{device}", german["system_state"]["name"])
        window.shoot("german-device")
        window.page.get_by_text(german["system_state"]["state"]["start"], exact=True).first.wait_for()
        assert window.complaints == []
    assert cut_off(bench, "de") == {}
    bench.ha.speak("en")
    bench.ha.call("homeassistant.reload_config_entry", {"entry_id": ess.entry_id})


# Commanding and ending


def test_nothing_was_written(bench: Bench) -> None:
    """All of this was reading."""
    assert bench.simulator.control(do="write_log") == []


def test_setpoint(bench: Bench) -> None:
    """The device follows a setpoint until it is released, and then nothing more is written."""
    ids = {key: entity["entity_id"] for key, entity in bench.ess.registered().items()}
    bench.command(ids, 20_000)
    until(lambda: abs(bench.simulator.control(do="state")["power"] - 20_000) < 100, PATIENCE_SECONDS, "20 kW")
    until(lambda: float(bench.ess.states()["active_power"]["state"]) == 20, PATIENCE_SECONDS, "20 kW seen")
    bench.ha.call("button.press", {"entity_id": ids["release_setpoint"]})
    until(lambda: bench.simulator.control(do="state")["setpoint"] == 0, PATIENCE_SECONDS, "setpoint zero")
    assert bench.writes_in(QUIET_SECONDS) == 0


# Building automations


@needs_chromium
def test_editor(bench: Bench) -> None:
    """Three automations and one of a blueprint are built with the mouse, and what they wait for starts them."""
    with browser(bench.ha, height=1400) as window, served_blueprints() as address:
        editor = Editor(window)
        editor.begin()
        editor.add_trigger("Battery level crossed threshold")
        editor.set_threshold("Below", 20)
        window.shoot("editor-battery-level")
        editor.add_message("below 20 %")
        editor.save("Battery low")

        editor.begin()
        editor.add_trigger(trigger_name("alarm_raised"))
        editor.choose("Severity", ENGLISH["selector"]["severity"]["options"]["fault"])
        window.shoot("editor-alarm-raised")
        editor.add_message("fault {{ trigger.to_state.attributes.key }}")
        editor.save("Fault")

        editor.begin()
        editor.add_trigger(trigger_name("setpoint_ended"))
        editor.add_message("ended: {{ trigger.to_state.attributes.reason }}")
        editor.save("Setpoint ended")

        editor.import_blueprint(f"{address}/soc_warning.yaml", "State of charge reserve warning")
        editor.choose_entity(bench.ess.registered()["soc"]["original_name"])
        editor.set_duration(0, 1)
        window.shoot("editor-blueprint")
        editor.save()
        assert window.complaints == []
    ids = {key: entity["entity_id"] for key, entity in bench.ess.registered().items()}
    automations = {key for key in bench.ha.states() if key.startswith("automation.")}
    assert automations == {f"automation.{name}" for name in ("battery_low", "fault", "setpoint_ended", RESERVE)}
    assert messages(bench) == set()

    bench.simulator.control(do="soc", percent=15)
    until(lambda: len(messages(bench)) == 2, PATIENCE_SECONDS, "messages of the state of charge")
    reserve, below = sorted(messages(bench))
    assert below == "below 20 %"
    assert re.fullmatch(r"REFU ESS: the state of charge is 1[45] %, below 20 %\.", reserve)
    bench.simulator.control(do="soc", percent=62)

    bench.simulator.control(do="alarm", key="normal_high_temperature", on=True)  # a warning
    until(lambda: bench.ess.states()["warning"]["state"] == "on", PATIENCE_SECONDS, "a warning")
    bench.simulator.control(do="alarm", key="fuse_fault", on=True)
    fault = {"fault fuse_fault"}
    until(lambda: messages(bench) >= fault, PATIENCE_SECONDS, "message of the fault")
    bench.simulator.control(do="release")
    until(lambda: bench.ess.states()["active_alarms"]["state"] == "0", PATIENCE_SECONDS, "no alarm")

    bench.command(ids, 10_000)
    bench.ha.call("button.press", {"entity_id": ids["release_setpoint"]})
    until(lambda: messages(bench) >= {"ended: released"}, PATIENCE_SECONDS, "message of the setpoint")
    assert {one for one in messages(bench) if one.startswith(("fault", "ended"))} == fault | {"ended: released"}


def messages(bench: Bench) -> set[str]:
    """Return the texts of what Home Assistant shows as notifications."""
    (found,) = bench.ha.ws({"type": "persistent_notification/get"})
    return {one["message"] for one in found}


def test_restart(bench: Bench) -> None:
    """A restart ends a command; all else is as before, and what was off until then can be shown too."""
    ess = bench.ess
    before = ess.registered()
    ids = {key: entity["entity_id"] for key, entity in before.items()}
    for key, entity in before.items():
        if entity["disabled_by"]:
            bench.ha.ws({"type": "config/entity_registry/update", "entity_id": ids[key], "disabled_by": None})
    bench.command(ids, 20_000)
    bench.ha.restart()
    assert bench.simulator.control(do="state")["setpoint"] == 0
    assert bench.writes_in(QUIET_SECONDS) == 0
    states = ess.states()
    assert ids.keys() - states.keys() == set()
    assert having(states, "unavailable") == set()
    assert having(states, "unknown") <= SOME_ARE_UNKNOWN
    assert {key: entity["entity_id"] for key, entity in ess.registered().items()} == ids


class Storm:
    """Alarms of the simulated ESS that come and go, and what of that was to be seen."""

    def __init__(self, bench: Bench) -> None:
        """Begin with what the device served last."""
        self.bench = bench
        self.began = datetime.now(UTC)
        self._before = len(self._served())
        self._calm = {address: word for answer in self._served() for address, word in answer.items()}

    def _served(self) -> list[dict[int, int]]:
        return [dict(enumerate(words, address)) for address, words in self.bench.simulator.control(do="served")]

    def commands(self, *alarms: oracle.Alarm) -> list[Answer]:
        """Return what lets the device have these alarms and no others."""
        words = {address: self._calm[address] for address in set(oracle.ADDRESSES.values()) & self._calm.keys()}
        for alarm in oracle.SEVERITIES:
            if oracle.is_active(alarm, words) is not (alarm in alarms):
                words[oracle.ADDRESSES[alarm.word]] ^= 1 << alarm.bit
        alarming = {oracle.ADDRESSES[alarm.word] for alarm in oracle.SEVERITIES}
        return [{"do": "raw", "address": address, "word": words[address]} for address in alarming]

    def have(self, *alarms: oracle.Alarm) -> None:
        """Let the device have these alarms and no others."""
        self.bench.simulator.control(do="batch", commands=self.commands(*alarms))

    def wait(self) -> None:
        """Wait until both input blocks were read."""
        before = self.requests()
        until(lambda: self.requests() >= before + 3, PATIENCE_SECONDS, "a poll")

    def requests(self) -> int:
        """Return how many requests have arrived."""
        return int(self.bench.simulator.control(do="state")["requests"])

    def wait_for_silence(self) -> None:
        """Wait until nobody asks any longer."""

        def silent() -> bool:
            before = self.requests()
            time.sleep(QUIET_SECONDS)
            return self.requests() == before

        until(silent, PATIENCE_SECONDS, "silence")

    def changes(self) -> list[oracle.Change]:
        """Return what changed between the words served since the storm began."""
        found = oracle.of_each(self._served())[self._before :]
        return [change for changed in found for change in changed]

    def events(self) -> list[oracle.Change]:
        """Return the events of the alarms that the recorder has, by the oldest first."""
        entity_id = self.bench.ess.registered()["alarms"]["entity_id"]
        question = {"filter_entity_id": entity_id, "significant_changes_only": "0"}
        question["end_time"] = datetime.now(UTC).isoformat()
        path = f"/api/history/period/{urllib.parse.quote(self.began.isoformat())}?{urllib.parse.urlencode(question)}"
        events = {  # an event that is restored after a restart has the time that it happened at
            state["state"]: state["attributes"]
            for states in self.bench.ha.rest("GET", path)
            for state in states
            if state["state"] > self.began.isoformat() and state["state"] not in {"unknown", "unavailable"}
        }
        return [
            oracle.Change(one["event_type"] == "raised", oracle.Alarm(one["word"], one["bit"]))
            for _, one in sorted(events.items())
        ]


def test_alarm_storm(bench: Bench) -> None:
    """Through flapping, a lost link and a restart: the events that are recorded are the changes of the words served."""
    every = list(oracle.SEVERITIES)
    storm = Storm(bench)
    steps = [every[:1], [], every[5:10], [], *([every[20:21], []] * 3), every]
    for alarms in steps:
        storm.have(*alarms)
        storm.wait()
    bench.simulator.control(do="batch", commands=[*storm.commands(), *storm.commands(*every)])  # between two polls
    bench.simulator.control(do="unplug")
    storm.have(*every[::2])
    bench.simulator.control(do="plug")
    storm.wait()
    with ThreadPoolExecutor(1) as pool:
        restarted = pool.submit(bench.ha.restart)
        storm.wait_for_silence()
        storm.have(*every[::3])
        restarted.result()
    storm.wait()
    storm.have()
    storm.wait()
    changes = storm.changes()
    assert len(changes) > 2 * len(every)
    until(lambda: len(storm.events()) >= len(changes), PATIENCE_SECONDS, "every event")
    events = storm.events()
    assert len(events) == len(changes)
    for alarm in every:
        assert [one.raised for one in events if one.alarm == alarm] == [
            one.raised for one in changes if one.alarm == alarm
        ]
    bench.simulator.control(do="release")
    entity_id = bench.ess.registered()["alarms"]["entity_id"]
    since = urllib.parse.quote(storm.began.isoformat())
    lines = bench.ha.rest("GET", f"/api/logbook/{since}?entity={entity_id}")
    assert sum(line.get("message") == "Alarm raised: Fog (smoke) alarm (Fault)" for line in lines) >= 1


def test_no_complaints(bench: Bench) -> None:
    """The log has no errors but those of the lost link."""
    log = bench.ha.log()
    bad = [
        line
        for before, line in pairwise(["", *log])
        if re.search(r" (ERROR|CRITICAL) |Traceback|blocking call", line)
        if CLOSED_WINDOW not in line and CLOSED_WINDOW not in before
    ]
    expected = [line for line in bad if "[custom_components.refu_ess.coordinator] Error fetching" in line]
    assert bad == expected
    assert len(expected) <= 3

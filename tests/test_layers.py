"""Import rules between modules."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "custom_components" / "refu_ess"
PLATFORMS = {"binary_sensor", "button", "event", "number", "select", "sensor", "switch"}
REGISTER_FILES = {"battery", "settings", "status"}


def imports(path: Path) -> set[str]:
    """Return what a file imports: `.x` for a neighbour, `..x` for one above, else the full name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            found |= {dots + node.module} if node.module else {dots + alias.name for alias in node.names}
    return found


SIDE = {path.stem: imports(path) for path in ROOT.glob("*.py")}
PACKAGE = {path.stem: imports(path) for path in (ROOT / "ess").glob("*.py")}


@pytest.mark.parametrize("name", PACKAGE)
def test_device_package_is_free_of_home_assistant(name: str) -> None:
    """The device package imports the standard library, the Modbus library's public names and itself."""
    for module in PACKAGE[name]:
        assert not module.startswith(("homeassistant", "custom_components", "..")), module
        assert not any(part.startswith("_") for part in module.strip(".").split(".")), module


@pytest.mark.parametrize("name", SIDE)
def test_nothing_imports_from_init(name: str) -> None:
    """No file takes a name from the integration's own `__init__`."""
    assert "." not in SIDE[name]
    assert "custom_components.refu_ess" not in SIDE[name]


@pytest.mark.parametrize("name", SIDE)
def test_the_device_package_has_one_door(name: str) -> None:
    """Home Assistant's side takes names from the package as a whole, never from its registers."""
    assert not [module for module in SIDE[name] if module.startswith(".ess.")]


@pytest.mark.parametrize("name", sorted(PLATFORMS))
def test_platforms_stay_thin(name: str) -> None:
    """A platform describes only its own controls, and speaks no Modbus."""
    assert not [module for module in SIDE[name] if module.startswith("modbus_connection")]
    assert {".entity", ".coordinator"} <= SIDE[name]
    assert ".describe" in SIDE[name]
    assert not SIDE[name] & {f".{other}" for other in PLATFORMS}


@pytest.mark.parametrize("name", sorted(PLATFORMS))
def test_platforms_say_how_many_commands_run(name: str) -> None:
    """A platform that writes sends one command after another; one that only reads has no limit."""
    writing = {"button", "number", "select", "switch"}
    text = (ROOT / f"{name}.py").read_text()
    assert f"\nPARALLEL_UPDATES = {1 if name in writing else 0}\n" in text


def test_one_file_describes_the_readings() -> None:
    """Only `describe.py` brings device classes and the declared channels together."""
    both = {
        name
        for name, modules in SIDE.items()
        if ".ess" in modules and {"homeassistant.components.sensor", "homeassistant.components.number"} <= modules
    }
    assert both == {"describe"}


def test_one_file_translates_modbus_errors() -> None:
    """Only `errors.py` distinguishes Modbus errors; a poll and a flow only catch them."""
    kinds = {"IllegalDataAddressError", "ModbusExceptionError", "ModbusTimeoutError"}
    for path in ROOT.glob("*.py"):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert path.stem == "errors" or not names & kinds, path


def test_what_is_imported_is_depended_on() -> None:
    """A component of Home Assistant that is imported is a platform, is loaded before, or asks for the file."""
    manifest = json.loads((ROOT / "manifest.json").read_text())
    before = {*manifest["dependencies"], *manifest["after_dependencies"], *PLATFORMS}
    for name, modules in SIDE.items():
        used = {module.split(".")[2] for module in modules if module.startswith("homeassistant.components.")}
        assert used <= before | {name}, name


def test_lower_rooms_do_not_look_up() -> None:
    """The coordinator knows no entity, the descriptions know no coordinator."""
    assert not SIDE["coordinator"] & {".entity", ".describe", *(f".{name}" for name in PLATFORMS)}
    assert not SIDE["describe"] & {".coordinator", ".entity", *(f".{name}" for name in PLATFORMS)}
    assert not SIDE["const"] & {name for name in SIDE["const"] if name.startswith(".")}


ALONE = """
import importlib, pkgutil, sys
sys.modules["homeassistant"] = None  # whoever imports it fails
sys.path.append(sys.argv[1])  # at its end: the integration's `select` would hide the standard library's
import ess
names = [module.name for module in pkgutil.iter_modules(ess.__path__)]
for name in names:
    importlib.import_module(f"ess.{name}")
print(*names)
"""


def test_the_package_can_be_imported_alone() -> None:
    """Every file of the device package is imported in a process that cannot import Home Assistant."""
    command = [sys.executable, "-c", ALONE, str(ROOT)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own
    assert {*found.stdout.split(), "__init__"} == PACKAGE.keys()

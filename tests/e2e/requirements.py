"""Print what Home Assistant would install with uv at its first start, so that it can start without a network.

It follows the manifests of the integrations that it always loads, of those in the bench's configuration and of the
custom ones. Run it with the Python that has Home Assistant: `python tests/e2e/requirements.py`.
"""

# ruff: noqa: T201 - it is a command, which prints

import json
import sysconfig
from pathlib import Path

from homeassistant import components
from homeassistant.auth.mfa_modules import totp
from homeassistant.bootstrap import CORE_INTEGRATIONS, DEFAULT_INTEGRATIONS

ROOT = Path(__file__).parents[2]
CONFIGURED = {"automation", "config", "energy", "frontend", "history", "http", "isal", "logbook", "logger", "lovelace"}
CONFIGURED |= {"network", "recorder", "script", "sun", "system_log", "template"}

# Voice. They have no wheel for this Python, and building them needs a compiler, headers and half a minute.
# Home Assistant only wants to import them here: a test bench has no voice assistant.
PLACEHOLDERS = {"pymicro-vad": "MicroVad", "pyspeex-noise": "AudioProcessor"}


def wanted() -> set[str]:
    """Return the requirements."""
    core, custom = Path(components.__path__[0]), ROOT / "custom_components"
    manifests = {path.parent.name: path for folder in (core, custom) for path in folder.glob("*/manifest.json")}
    todo = CONFIGURED | CORE_INTEGRATIONS | DEFAULT_INTEGRATIONS | {path.name for path in custom.iterdir()}
    # Without those of the second login factor it does not start at all.
    done: set[str] = set()
    found = set(totp.REQUIREMENTS)
    while todo := (todo & manifests.keys()) - done:
        done |= todo
        parts = [json.loads(manifests[domain].read_text()) for domain in todo]
        found |= {requirement for part in parts for requirement in part.get("requirements", ())}
        todo = {name for part in parts for key in ("dependencies", "after_dependencies") for name in part.get(key, ())}
    return found


def put_placeholder(requirement: str) -> None:
    """Make it look installed, with the one name that is imported from it."""
    name, version = requirement.split("==")
    site = Path(sysconfig.get_path("purelib"))
    module = name.replace("-", "_")
    (site / f"{module}.py").write_text(f"class {PLACEHOLDERS[name]}:\n    pass\n")
    info = site / f"{module}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def main() -> None:
    """Print all but the placeholders, which are put in place."""
    for requirement in sorted(wanted()):
        if requirement.split("==")[0] in PLACEHOLDERS:
            put_placeholder(requirement)
        else:
            print(requirement)


if __name__ == "__main__":
    main()

"""The device package, as one copy in this process: Home Assistant's if it is there, else on its own."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING or "custom_components.refu_ess" in sys.modules:
    from custom_components.refu_ess import ess
else:
    # At the end of the path: the integration's `select` would hide the standard library's.
    sys.path.append(str(Path(__file__).parents[2] / "custom_components" / "refu_ess"))
    import ess

__all__ = ["ess"]

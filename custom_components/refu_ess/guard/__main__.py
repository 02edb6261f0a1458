"""The guard process, started by `ess/guardian.py`. It loads the one module of `ess/` that it runs, and no more.

The folder of the integration never gets onto `sys.path`, where its `select.py` would hide the standard library's,
and the package's `__init__` is not executed, because it imports everything else.
"""
# ruff: noqa: INP001 - a program, not a package

import importlib
import os
import signal
import sys
from pathlib import Path
from types import ModuleType

# Power is commanded as long as this process runs, so it does not end on request but when zero was delivered.
for request_to_end in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(request_to_end, signal.SIG_IGN)

package = ModuleType("ess")
package.__path__ = [str(Path(__file__).resolve().parent.parent / package.__name__)]
sys.modules[package.__name__] = package

# At once: a thread that is still resolving a name would hold up a normal exit.
os._exit(importlib.import_module(f"{package.__name__}.guard").main())

"""A simulated REFU ESS: `python -m tests.simulator --help`."""

from .commands import carry_out
from .model import Battery, Model, State
from .replay import Replay
from .server import LoggedWrite, Simulator

__all__ = ["Battery", "LoggedWrite", "Model", "Replay", "Simulator", "State", "carry_out"]

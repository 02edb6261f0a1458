"""The simulated ESS as a process, and a server that never answers."""

# ruff: noqa: S603 - it starts the simulator

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.simulator.commands import send

from .home_assistant import ROOT, free_port, until

START_SECONDS = 30
STOP_SECONDS = 10


class Simulator:
    """`python -m tests.simulator`."""

    def __init__(self, port: int, log_file: Path, replay: Path | None = None) -> None:
        """Nothing is started yet. With `replay` it serves the registers of that diagnostics download."""
        self.port = port
        self.rtu_port = free_port()
        self.control_port = free_port()
        self.log_file = log_file
        self._source = ["--profile", "lively"] if replay is None else ["--profile", "idle", "--replay", str(replay)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        ports = {"--tcp": self.port, "--rtu-over-tcp": self.rtu_port, "--control": self.control_port}
        command = [sys.executable, "-m", "tests.simulator", *self._source]
        for option, port in ports.items():
            command += [option, f"127.0.0.1:{port}"]
        with self.log_file.open("wb") as log:
            # In a session of its own, so that Ctrl-C in the terminal comes only by us.
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until(self._is_up, START_SECONDS, "simulator")

    def _is_up(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError("The simulator ended:\n" + self.log_file.read_text()[-2000:])
        return bool(self.control(do="state"))

    def control(self, **command: object) -> Any:
        """Have it carry out a command of its control port, and return the answer."""
        return send("127.0.0.1", self.control_port, json.dumps(command))

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """A server that takes connections and never says a word; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def accept() -> None:
            with contextlib.suppress(OSError):  # closed
                while True:
                    held.append(server.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()

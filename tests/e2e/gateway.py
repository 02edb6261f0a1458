"""A gateway as a process, which passes bytes on between two ports: `python -m tests.e2e.gateway 5021 5020`."""

import asyncio
import sys

from tests.simulator.cable import Cable


async def main(port: int, device_port: int) -> None:
    """Pass bytes on until the process is ended."""
    await Cable("127.0.0.1", port).plug(device_port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))

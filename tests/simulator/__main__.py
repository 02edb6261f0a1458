"""The command line of the simulated ESS."""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

from .commands import HELP, lively, play, read_scenario, send, serve_control
from .model import Model, State
from .replay import Replay
from .server import Simulator

STATES = {"running": State.START, "standby": State.STANDBY, "stopped": State.STOP}
EXAMPLE = Path(__file__).parent / "example_scenario.json"


def address(text: str) -> tuple[str, int]:
    """Parse HOST:PORT."""
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/simulator",
        description="A simulated REFU ESS on Modbus. It answers the input registers that the integration reads"
        " (function 4), holding registers 0x200 to 0x20A (function 3), and takes writes to the latter (functions"
        " 6 and 16). Everything else is refused. Ctrl-C ends it.",
        epilog="Commands for --send, for --control (one JSON object a line) and for --scenario (a JSON list, each with"
        f' "at": seconds):\n\n{HELP}\nAn example: {EXAMPLE.relative_to(Path.cwd(), walk_up=True)}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tcp", type=address, metavar="HOST:PORT", help="Modbus TCP (default 127.0.0.1:5020)")
    parser.add_argument("--rtu-over-tcp", type=address, metavar="HOST:PORT", help="RTU frames over TCP")
    parser.add_argument("--serial", metavar="PATH", help="RTU on a serial port")
    parser.add_argument("--pty", action="store_true", help="RTU on a pair of pseudo-terminals; prints the other end")
    parser.add_argument("--control", type=address, metavar="HOST:PORT", help="take commands there")
    parser.add_argument(
        "--send", nargs=2, metavar=("[HOST:]PORT", "COMMAND"), help="send a command to a simulator that runs, and end"
    )
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="play a scenario")
    parser.add_argument(
        "--replay",
        type=Path,
        metavar="FILE",
        help="serve the registers of a diagnostics download; what it lacks is refused, and what is written is read"
        " back without an effect on the rest",
    )
    parser.add_argument("--profile", choices=("lively", "idle"), default="lively", help="what it does unasked")
    parser.add_argument("--state", choices=STATES, default="running", help="how it starts")
    parser.add_argument("--soc", type=float, default=62.0, metavar="PERCENT", help="initial state of charge")
    parser.add_argument("--groups", type=int, default=4, choices=range(1, 5), help="battery groups")
    parser.add_argument(
        "--layout", choices=("documented", "shifted"), default="documented", help="upper bits of InverterStatus"
    )
    parser.add_argument("--unit", type=int, default=1, metavar="N", help="unit ID")
    parser.add_argument("--speed", type=float, default=1.0, metavar="N", help="how much faster its time goes")
    return parser.parse_args()


def read_replay(path: Path) -> Replay:
    """Read a diagnostics download and say what is in it, or end the program if it is none."""
    replay = Replay.read_or_exit(path)
    print(f"replay: {len(replay.words)} registers; options of the ESS: {json.dumps(replay.options)}", flush=True)
    return replay


def built(args: argparse.Namespace) -> Simulator:
    """Return the simulator that the command line describes."""
    if not (args.tcp or args.rtu_over_tcp or args.serial or args.pty):
        args.tcp = ("127.0.0.1", 5020)
    replay = read_replay(args.replay) if args.replay else None
    model = Model(soc=args.soc, groups=args.groups, shifted=args.layout == "shifted", state=STATES[args.state])
    return Simulator(
        model,
        tcp=args.tcp,
        rtu_over_tcp=args.rtu_over_tcp,
        serial=args.serial,
        pty=args.pty,
        unit=args.unit,
        speed=args.speed,
        replay=replay,
    )


async def listen(sim: Simulator, control: tuple[str, int] | None, stack: contextlib.AsyncExitStack) -> None:
    """Open everything that the simulator listens on and print it, or end the program."""
    try:
        await stack.enter_async_context(sim)
        if control is not None:
            stack.callback((await serve_control(sim, *control)).close)
    except OSError as err:
        sys.exit(f"cannot listen: {err}")
    if sim.serial is not None:
        print(f"serial RTU: {sim.serial.client_end}", flush=True)
    for name, cable in sim.cables.items():
        print(f"{name}: {cable.host}:{cable.port}", flush=True)
    if control is not None:
        print(f"control: {control[0]}:{control[1]}", flush=True)


async def serve(args: argparse.Namespace) -> None:
    """Serve until interrupted."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    sim = built(args)
    async with contextlib.AsyncExitStack() as stack:
        await listen(sim, args.control, stack)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        background = []
        if args.profile == "lively":
            background.append(tasks.create_task(lively(sim)))
        if args.scenario:
            background.append(tasks.create_task(play(sim, read_scenario(args.scenario))))
        await ended.wait()
        for task in background:
            task.cancel()


def main() -> None:
    """Serve, or send one command."""
    args = arguments()
    if args.send:
        to, command = args.send
        try:
            print(json.dumps(send(*address(to), command)))
        except OSError as err:
            sys.exit(f"no simulator takes commands at {to}: {err}")
        except RuntimeError as err:
            sys.exit(str(err))
        return
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(args))


if __name__ == "__main__":
    main()

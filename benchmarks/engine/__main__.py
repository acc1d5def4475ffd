"""Speed, memory and endurance of cai and others: `python benchmarks/engine --peers`.

A simulated server has a fixed number of slots, one queue and answers that take 300 ms on average.
Each client is a process of its own and is given the same chains of calls. The bound is a bare
client on raw sockets in the same run. Times on a busy machine are noisy: compare within one run.

    speed    the time of the server's slots that is used, without faults
    faults   a tenth of all requests fails, in five ways
    killed   SIGKILL half way, and the same command again
    memory   cai, for few prompts and for many
    again    cai, a finished run of four rounds started again
"""

import argparse
import sys
import tempfile
from pathlib import Path

from clients import all_clients
from parts import Bench, all_parts
from simulated import ServerEnded

_PARTS = ("speed", "faults", "killed", "memory", "again")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slots", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--many", type=int, default=50_000, help="Prompts, where memory counts.")
    parser.add_argument("--mean-ms", type=float, default=300)
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=list(_PARTS))
    parser.add_argument("--clients", nargs="+", help="Only those whose name has such a word.")
    parser.add_argument("--peers", action="store_true", help="Also others, installed when missing.")
    parser.add_argument("--quick", action="store_true", help="A try: 300 prompts, 60 ms a call.")
    parser.add_argument("--keep", type=Path, help="A folder for all that the clients write.")
    given = parser.parse_args()
    if given.quick:
        given.prompts, given.many, given.mean_ms = 300, 1200, 60
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.keep or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        clients = [
            client
            for client in all_clients(given.peers)
            if not given.clients or any(word in client.name for word in given.clients)
        ]
        bench = Bench(folder, given.prompts, given.many, given.mean_ms, 5.0, clients)
        try:
            for table in all_parts(bench, given.slots, given.parts):
                sys.stdout.write(f"\n{table}")
                sys.stdout.flush()
        except ServerEnded as error:  # one whose figures the rest is compared with
            sys.exit(f"Stopped: {error}")


if __name__ == "__main__":
    main()

"""Compare s3dlio with other clients over object stores: every verb, on every kind of store.

The servers run on this machine and share its cores, so the processor time of the client, per GiB or per thousand
objects, says as much as its rate. Each measurement is a fresh process, in random order in each round. Writes
``stores.json`` and ``stores.png`` into ``--out``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients import CLIENTS, Client
from run import cpu_seconds, machine, memory_folder

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Work:
    """One thing to do: with how many objects of what size."""

    verb: str
    objects: int
    size: int

    @property
    def name(self) -> str:
        """What the report calls it."""
        size = f"{self.size // MIB} MiB" if self.size >= MIB else f"{self.size // KIB} KiB"
        return f"{self.verb} {self.objects:,}" + (f" x {size}" if self.size else " keys")

    def names(self) -> list[str]:
        """Return the names of the objects."""
        return [f"{self.objects}x{self.size}/{number:06}" for number in range(self.objects)]


WORKS = (
    Work("get", 2_000, 64 * KIB),
    Work("get_many", 5_000, 64 * KIB),
    Work("get_many", 64, 16 * MIB),
    Work("get", 1, 512 * MIB),
    Work("put_many", 2_000, 64 * KIB),
    Work("put_many", 32, 16 * MIB),
    Work("list", 20_000, 0),
    Work("write", 1, 512 * MIB),
)


def works(kind: str, only: str | None = None) -> list[Work]:
    """Return what is done on a kind of store; Azure's emulator is so slow that it gets a tenth of the many objects."""
    share = 10 if kind == "az" else 1
    many = 100
    every = [Work(w.verb, w.objects // share if w.objects > many else w.objects, w.size) for w in WORKS]
    return [work for work in every if only is None or only in work.name]


def measure(client: Client, work: Work) -> int:
    """Do the work; returns the bytes it moved."""
    keys = work.names()
    match work.verb:
        case "get":
            return sum(client.get(keys))
        case "get_many":
            return sum(client.get_many(keys))
        case "put_many":
            client.put_many([f"new/{key}" for key in keys], bytes(work.size))
        case "list":
            listed = client.list(keys[0].split("/")[0])
            if listed != work.objects:
                sys.exit(f"listed {listed} keys, expected {work.objects}")
        case _:
            chunk = bytes(MIB)
            client.write("new/stream", (chunk for _ in range(work.size // MIB)))
    return work.objects * work.size


def one(name: str, place: str, number: int) -> dict[str, float]:
    """Be one measurement; the start of the interpreter and imports are not counted."""
    work = works(place.partition("://")[0])[number]
    client = CLIENTS[name](place)
    wall, cpu = time.perf_counter(), cpu_seconds()
    moved = measure(client, work)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    if moved != work.objects * work.size:
        sys.exit(f"{name}: {work.name}: moved {moved} bytes, expected {work.objects * work.size}")
    return {"wall": wall, "cpu": cpu, "rss_mib": peak_mib()}


def peak_mib() -> float:
    """Return the most memory that this program has had; `getrusage` would count that of its parent too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / KIB


@dataclass
class Server:
    """Where a kind of store is, and how many requests it has answered."""

    place: str
    env: dict[str, str]
    requests: Any = None


@contextlib.contextmanager
def serving(kind: str) -> Iterator[Server]:
    """Run the server of a kind of store until the block ends."""
    from tests.fixtures import azurite, testkit  # noqa: PLC0415 - only where a server is needed

    if kind in {"file", "direct"}:
        # Memory is the fastest disk; O_DIRECT works there too.
        with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
            yield Server(f"{kind}://{folder}", {})
    elif kind == "az":
        with tempfile.TemporaryDirectory() as folder, azurite.serving(Path(folder)) as server:
            yield Server(server.container("bench"), server.env)
    else:
        with testkit.serving({"s3": "s3", "gs": "gcs"}[kind]) as server:
            yield Server(server.bucket("bench"), server.env, lambda: server.counts()["requests"])


def fill(server: Server, wanted: list[Work]) -> None:
    """Write what is read."""
    import s3dlio  # noqa: PLC0415

    for work in wanted:
        if work.verb not in {"put_many", "write"}:
            body = os.urandom(work.size)
            s3dlio.put_many([(f"{server.place}/{key}", body) for key in work.names()])


def compare(kind: str, rounds: int, only: str | None) -> dict[str, Any]:
    """Run all clients of a kind of store and print their medians."""
    names = [name for name in CLIENTS if name == "s3dlio" or (name == "obstore" and kind != "direct") or kind == "s3"]
    results: dict[str, Any] = {}
    with serving(kind) as server:
        os.environ.update(server.env)
        fill(server, works(kind, only))
        for number, work in enumerate(works(kind)):
            if work not in works(kind, only):
                continue
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
            for _ in range(rounds):
                for name in random.sample(names, len(names)):
                    before = server.requests() if server.requests else 0
                    command = [sys.executable, str(HERE / "stores.py"), "--one", name, server.place, str(number)]
                    run = measured(command)
                    run["requests"] = server.requests() - before if server.requests else 0
                    runs[name].append(run)
            report(kind, work, runs)
            results[work.name] = runs
    return results


def measured(command: list[str]) -> dict[str, float]:
    """Run one measurement; a client that crashes has another attempt, and is named."""
    for _ in range(2):
        ended = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if ended.returncode == 0:
            return json.loads(ended.stdout)
        print(f"{command[3]} ended with {ended.returncode}", flush=True)
    sys.exit(f"{command[3]} crashed twice")


def report(kind: str, work: Work, runs: dict[str, list[dict[str, float]]]) -> None:
    """Print one table."""
    volume = work.objects * work.size
    print(f"\n{kind}: {work.name}")
    print(f"{'':10}{'wall s':>9}{'spread':>15}{'MiB/s':>9}{'objects/s':>11}", end="")
    print(f"{'CPU s/GiB':>11}{'CPU us/object':>15}{'requests':>10}{'RSS MiB':>9}{'ours is':>9}")
    ours = statistics.median(run["wall"] for run in runs["s3dlio"])
    for name, every in runs.items():
        walls = sorted(run["wall"] for run in every)
        wall, cpu = statistics.median(walls), statistics.median(run["cpu"] for run in every)
        requests = statistics.median(run["requests"] for run in every)
        rss = statistics.median(run["rss_mib"] for run in every)
        gib = f"{cpu / volume * GIB:.2f}" if volume else "-"
        spread = f"{walls[0]:.3f}-{walls[-1]:.3f}"
        print(f"{name:10}{wall:9.3f}{spread:>15}{volume / MIB / wall:9.0f}{work.objects / wall:11,.0f}", end="")
        print(f"{gib:>11}{1e6 * cpu / work.objects:15.0f}{requests:10.0f}{rss:9.0f}{wall / ours:8.2f}x", flush=True)


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw, for each store and work, how many times as long the others take."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 2.6 * len(results)), layout="constrained")
    axes = figure.subplots(len(results), squeeze=False)[:, 0]
    for axis, (kind, works) in zip(axes, results.items(), strict=True):
        names = [name for name in CLIENTS if any(name in runs for runs in works.values())]
        for place, name in enumerate(names):
            medians = [
                statistics.median(run["wall"] for run in runs[name])
                / statistics.median(r["wall"] for r in runs["s3dlio"])
                for runs in works.values()
            ]
            offsets = [at + (place - len(names) / 2) * 0.8 / len(names) for at in range(len(works))]
            colour = "tab:blue" if name == "s3dlio" else f"C{place + 6}"
            axis.bar(offsets, medians, width=0.8 / len(names), label=name, color=colour, align="edge")
        axis.set_xticks(range(len(works)), list(works), rotation=15, fontsize=7)
        axis.set_title(f"{kind}: time, ours is 1", loc="left", fontsize=10)
        axis.set_yscale("log")
        axis.legend(fontsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure and report; with ``--one`` be one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--stores", nargs="+", default=["file", "direct", "s3", "gs", "az"])
    parser.add_argument("--only", help="works whose name contains this")
    parser.add_argument("--one", nargs=3, metavar=("CLIENT", "PLACE", "WORK"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], options.one[1], int(options.one[2]))))
        return
    results = {kind: compare(kind, options.rounds, options.only) for kind in options.stores}
    options.out.mkdir(parents=True, exist_ok=True)
    report_file = {"machine": machine(), "rounds": options.rounds, "stores": results}
    (options.out / "stores.json").write_text(json.dumps(report_file, indent=1))
    plot(results, options.out / "stores.png")
    print(f"\nwritten to {options.out}/")


if __name__ == "__main__":
    main()

"""Compare our loader with the loaders that others use, on the same samples: vectors of 3 KB, JPEGs, arrays of 5 MB.

``.venv/bin/python benches/loaders.py`` makes the samples in memory, writes them in the format of each contestant, and
measures. Each measurement is a fresh process that checks one epoch in full (every sample once, shuffled, with the
content that was written, in batches of the right shape) and then takes the time of whole epochs; start and first epoch
do not count. The contestants of a workload take turns in a new random order in each round. Prints medians of samples/s
and of CPU seconds for a million samples, of the process and all its workers, and how many times as fast each of our
own ways is. Only the ratios carry over to another machine. Writes ``loaders.json`` and ``loaders.svg`` into ``--out``.

webdataset, mosaicml-streaming and litdata need versions that this project's environment cannot have. uv installs them,
as ``peers.txt`` pins them, into ``~/.cache/s3dlio/peers`` (``S3DLIO_CACHE`` moves it); nothing else needs a network. A
contestant that cannot run is listed with the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from loader_contestants import CONTESTANTS, OURS, PEERS_FORMATS
from loader_formats import SHARDS
from loader_samples import WORKLOADS, Workload, write_files
from run import bars, machine, memory_folder

HERE = Path(__file__).parent
LIMIT = 900


class Missing(Exception):  # noqa: N818 - what is reported is that it is missing
    """A process of a contestant failed; the text is why."""


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="shortest measured time of a process")
    parser.add_argument("--samples", type=int, help="samples of each workload instead of its own number")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--only", nargs="+", help="contestants whose name contains one of these, and ours")
    parser.add_argument("--folder", default=memory_folder(), help="where the samples are made; default in memory")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    if options.rounds < 1 or (options.samples is not None and options.samples < SHARDS):
        parser.error(f"expected at least one round, and a sample for each of {SHARDS} shards")
    for part in options.only or []:
        if not any(part in name for name in CONTESTANTS):
            parser.error(f"no contestant is called {part}; there are {', '.join(CONTESTANTS)}")
    names = [name for name in CONTESTANTS if name in OURS or any(part in name for part in options.only or [""])]
    peers, why_not = None, ""
    if any(CONTESTANTS[name].peers for name in names):
        try:
            peers = peers_environment()
        except Missing as error:
            why_not = f"no environment of peers: {error}"
    results: dict[str, Any] = {"machine": machine(), "rounds": options.rounds, "workloads": {}}
    for workload in (WORKLOADS[name] for name in options.workloads):
        sized = replace(workload, samples=options.samples or workload.samples)
        with tempfile.TemporaryDirectory(prefix="s3dlio-bench-", dir=options.folder) as work:
            bench = Bench(sized, Path(work), peers, why_not)
            bench.prepare([name for name in names if workload.name in CONTESTANTS[name].workloads])
            bench.run(options.rounds, options.seconds)
            results["workloads"][workload.name] = bench.report()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "loaders.json").write_text(json.dumps(results, indent=1))
    rates = {
        f"{found['title']}: samples/s": {name: median["per_second"] for name, median in found["medians"].items()}
        for found in results["workloads"].values()
    }
    bars(rates, options.out / "loaders.svg")
    print(f"\nwritten to {options.out}/loaders.json and loaders.svg")


def peers_environment() -> Path:
    """Install what ``peers.txt`` says, unless it is there, and return the interpreter."""
    cache = Path(os.environ.get("S3DLIO_CACHE", "~/.cache/s3dlio")).expanduser()
    home, wanted = cache / "peers", (HERE / "peers.txt").read_text()
    python, stamp = home / "bin" / "python", home / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    uv = [str(Path(sys.executable).with_name("uv"))]
    environment = {"UV_CACHE_DIR": str(cache / "uv"), **os.environ}
    print(f"installing webdataset, mosaicml-streaming and litdata into {home}", file=sys.stderr)
    called([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)], environment)
    called([*uv, "pip", "sync", "--quiet", "--python", str(python), str(HERE / "peers.txt")], environment)
    stamp.write_text(wanted)
    return python


def called(command: list[str], environment: dict[str, str]) -> str:
    """Return what a command printed.

    Raises:
        Missing: It failed, or has not ended in time.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            out, errors = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired as error:
            raise Missing(f"it did not end within {LIMIT} seconds") from error
        finally:
            # Its workers, wherever it has left some.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        lines = [line for line in errors.splitlines() if line.strip()]
        raise Missing(reason(lines) or f"it ended with {process.returncode}")
    return out


def reason(lines: list[str]) -> str:
    """Return the last line of a traceback that names an exception, or the last line."""
    named = [line for line in lines if not line.startswith(" ") and "Error" in line.split(":")[0]]
    return (named or lines or [""])[-1]


class Bench:
    """The contestants of one workload: their data, their figures, and why some have none."""

    def __init__(self, workload: Workload, work: Path, peers: Path | None, why_not: str) -> None:
        self.workload, self.data, self.peers, self.why_not = workload, work / "data", peers, why_not
        self.runs: dict[str, list[dict[str, Any]]] = {}
        self.missing: dict[str, str] = {}
        temporary = work / "tmp"
        temporary.mkdir()
        # What a library puts beside the data (caches, locks) goes when the data goes.
        self.environment = {**os.environ, "TMPDIR": str(temporary), "HOME": str(temporary)}

    def prepare(self, names: list[str]) -> None:
        """Make the samples, and the format of each contestant."""
        write_files(self.workload, self.data, self.workload.samples)
        written: dict[str, str] = {"files": ""}
        for name in names:
            format_name = CONTESTANTS[name].folder(self.workload)
            if format_name not in written:
                try:
                    self.process(format_name, "--write", peers=format_name in PEERS_FORMATS)
                    written[format_name] = ""
                except Missing as error:
                    written[format_name] = f"its format cannot be written: {error}"
            if written[format_name]:
                self.missing[name] = written[format_name]
            else:
                self.runs[name] = []

    def process(self, name: str, *options: str, peers: bool) -> str:
        """Run the program of one contestant."""
        if peers and self.peers is None:
            raise Missing(self.why_not)
        python = str(self.peers) if peers else sys.executable
        command = [python, str(HERE / "loader_peers.py"), name, self.workload.name, str(self.data), *options]
        return called(command, self.environment)

    def run(self, rounds: int, seconds: float) -> None:
        """Take turns; who fails once is out."""
        for _ in range(rounds):
            for name in random.sample(list(self.runs), len(self.runs)):
                try:
                    out = self.process(name, "--seconds", str(seconds), peers=CONTESTANTS[name].peers)
                except Missing as error:
                    self.missing[name] = str(error)
                    del self.runs[name]
                else:
                    # What a library prints comes before it.
                    self.runs[name].append(json.loads(out.splitlines()[-1]))

    def report(self) -> dict[str, Any]:
        """Print the table, and return it with all that was measured."""
        medians = {
            name: {key: statistics.median(run[key] for run in runs) for key in ("per_second", "cpu_per_million")}
            for name, runs in self.runs.items()
        }
        ours = [name for name in OURS if name in medians]
        print(f"\n{self.workload.title}, batches of {self.workload.batch}, {self.workload.samples:,} samples")
        heads = "".join(f"{name.removeprefix('s3dlio_') + ' is':>18}" for name in ours)
        print(f"{'':21}{'samples/s':>12}{'spread':>22}{'CPU s/million':>15}{heads}")
        for name, found in medians.items():
            rates = sorted(run["per_second"] for run in self.runs[name])
            spread = f"{rates[0]:,.0f}-{rates[-1]:,.0f}"
            ratios = "".join(f"{medians[own]['per_second'] / found['per_second']:17.2f}x" for own in ours)
            print(f"{name:21}{found['per_second']:12,.0f}{spread:>22}{found['cpu_per_million']:15,.1f}{ratios}")
        for name, why in self.missing.items():
            print(f"{name:21} missing: {why}")
        sys.stdout.flush()
        sizes = {"samples": self.workload.samples, "batch": self.workload.batch, "shape": self.workload.shape}
        return {"title": self.workload.title, **sizes, "medians": medians, "missing": self.missing, "runs": self.runs}


if __name__ == "__main__":
    main()

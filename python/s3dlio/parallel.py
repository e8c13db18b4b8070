"""Reading with several processes, for benchmarks of a store."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any, TypedDict, cast

from s3dlio import _s3dlio, bulk, errors
from s3dlio.arguments import at_least

__all__ = ["ParallelResult", "WorkerResult", "mp_get"]

# Objects that a worker asks for in one call: enough to keep its requests in flight, few enough to be let go soon.
_GROUP_PER_JOB = 4


class WorkerResult(TypedDict):
    """What one process read; a MB is a million bytes."""

    worker_id: int
    objects: int
    bytes: int
    duration_seconds: float
    throughput_mb_s: float


class ParallelResult(TypedDict):
    """What all processes read; a MB is a million bytes."""

    total_objects: int
    total_bytes: int
    duration_seconds: float
    throughput_mb_s: float
    ops_per_sec: float
    workers: list[WorkerResult]


def mp_get(
    uri: str, procs: int = 4, jobs: int = 64, num: int = 1000, template: str = "object_{}.dat"
) -> ParallelResult:
    """Read ``num`` objects below ``uri`` with ``procs`` processes and tell how fast it went.

    Args:
        uri: A prefix, or a whole name with a ``{}`` for the number.
        procs: Processes; object ``i`` is read by process ``i % procs``.
        jobs: Objects in flight in each process.
        num: Objects, numbered from 0.
        template: Name of an object: its first ``{}`` is the number, its second the total.

    The time begins when all processes are ready and ends when the last is done.

    Raises:
        ConfigError: A number is below 1.
        NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: As :func:`get`, from the process that
            failed; the others are ended.
        ForkedProcessError: A process ended without a word.
    """
    number = at_least("procs", procs, 1)
    task = {"prefix": uri, "template": template, "jobs": at_least("jobs", jobs, 1), "num": at_least("num", num, 1)}
    workers: list[subprocess.Popen[str]] = []
    try:
        for first in range(number):
            workers.append(_start({**task, "first": first, "step": number}))  # noqa: PERF401 - all are ended below
        for worker in workers:
            _line(worker)
        began = time.perf_counter()
        for worker in workers:
            if worker.stdin is not None:
                worker.stdin.write("go\n")
                worker.stdin.flush()
        results = [cast("WorkerResult", _line(worker)) for worker in workers]
        duration = time.perf_counter() - began
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    objects, size = sum(result["objects"] for result in results), sum(result["bytes"] for result in results)
    return {
        "total_objects": objects,
        "total_bytes": size,
        "duration_seconds": duration,
        "throughput_mb_s": size / duration / 1e6,
        "ops_per_sec": objects / duration,
        "workers": results,
    }


def _start(task: dict[str, Any]) -> subprocess.Popen[str]:
    # As a module of its own it would be there twice: the package imports it too.
    command = [sys.executable, "-c", "from s3dlio import parallel; parallel.be_worker()", json.dumps(task)]
    # The command is this interpreter and this module, and the task travels as one argument without a shell.
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603


def _line(worker: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what a worker says next; raise what it failed with."""
    text = worker.stdout.readline() if worker.stdout else ""
    if not text:
        raise errors.ForkedProcessError(f"reading process {worker.pid} ended with status {worker.wait()}")
    said: dict[str, Any] = json.loads(text)
    if "error" in said:
        raise getattr(errors, said["error"], errors.S3dlioError)(said["message"], uri=said["uri"])
    return said


def _work(task: dict[str, Any]) -> WorkerResult:
    group = task["jobs"] * _GROUP_PER_JOB * task["step"]
    objects = size = 0
    began = time.perf_counter()
    for start in range(task["first"], task["num"], group):
        numbers = range(start, min(start + group, task["num"]), task["step"])
        uris = _s3dlio.object_names(task["prefix"], task["template"], [*numbers], task["num"])
        for _, body in bulk.get_many(uris, task["jobs"]):
            objects += 1
            size += len(body)
    duration = time.perf_counter() - began
    return {
        "worker_id": task["first"],
        "objects": objects,
        "bytes": size,
        "duration_seconds": duration,
        "throughput_mb_s": size / duration / 1e6,
    }


def be_worker() -> None:
    """Read what the task in the first argument says, as one process of :func:`mp_get`."""

    def say(what: Any) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()

    say({"ready": True})
    if sys.stdin.readline():
        try:
            say(_work(json.loads(sys.argv[1])))
        except errors.S3dlioError as error:
            say({"error": type(error).__name__, "message": str(error), "uri": error.uri})

"""The main job, end to end: write a data set to an object store, train from it, kill the trainer, resume exactly.

``DEMO_URI`` names the store (``s3://bucket/prefix``, ``file:///folder``); without it an S3 server is started on the
loopback interface and stopped again.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import s3dlio
from sklearn.datasets import load_digits

HERE = Path(__file__).parent
EPOCHS = 3
# In the middle of the second epoch, whose 90 batches are counted from 1.
KILL_AFTER = (1, 45)
# What the demo is to reach; guessing gives 0.1.
LEAST_ACCURACY = 0.95


def main() -> None:
    """Run the demo; exits with an error if a sample was lost or repeated, or the network learned too little."""
    began = time.perf_counter()
    with contextlib.ExitStack() as cleanup:
        work = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="s3dlio-demo-")))
        base = os.environ.get("DEMO_URI") or cleanup.enter_context(s3_server(work))
        base = base.rstrip("/") + "/s3dlio-demo-digits"
        cleanup.callback(s3dlio.delete, base, recursive=True)
        ids = write_digits(base)
        train(base, work, "--kill-after", str(KILL_AFTER[0]), str(KILL_AFTER[1]), expect=-signal.SIGKILL)
        train(base, work, expect=0)
        check_seen(work, ids)
        accuracy = json.loads((work / "accuracy.json").read_text())
        if accuracy < LEAST_ACCURACY:
            sys.exit(f"test accuracy {accuracy:.3f} is below {LEAST_ACCURACY}")
    print(f"done in {time.perf_counter() - began:.0f} s; the code is in {HERE}: train.py is the part to copy")


@contextlib.contextmanager
def s3_server(work: Path, bucket: str = "demo") -> Iterator[str]:
    """Run an S3 server on the loopback interface, make a bucket, and point this process's environment to it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ |= {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo-secret",
        "AWS_REGION": "us-east-1",
    }
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (work / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for(port, server, work / "server.log")
            import boto3  # noqa: PLC0415 - only the embedded server needs it

            boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"]).create_bucket(Bucket=bucket)
            print(f"S3 server on 127.0.0.1:{port}")
            yield f"s3://{bucket}"
        finally:
            server.terminate()
            server.wait()


def wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server takes connections, up to half a minute."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    sys.exit(f"the S3 server did not start:\n{log.read_text()}")


def write_digits(base: str) -> dict[str, list[int]]:
    """Write scikit-learn's handwritten digits as one NPZ object each; every fifth is for the test."""
    digits = load_digits()
    objects = []
    ids: dict[str, list[int]] = {"train": [], "test": []}
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        part = "test" if number % 5 == 0 else "train"
        packed = io.BytesIO()
        np.savez(packed, image=(image / 16).astype(np.float32), label=np.int64(label), id=np.int64(number))
        objects.append((f"{base}/{part}/{number:04}.npz", packed.getbuffer()))
        ids[part].append(number)
    began = time.perf_counter()
    s3dlio.put_many(objects)
    print(f"wrote {len(objects)} objects to {base}/ in {time.perf_counter() - began:.1f} s")
    return ids


def train(base: str, work: Path, *more: str, expect: int) -> None:
    """Run the training program in a process of its own."""
    command = [sys.executable, str(HERE / "train.py"), f"{base}/train/", "--test", f"{base}/test/"]
    done = subprocess.run([*command, "--work", str(work), "--epochs", str(EPOCHS), *more], check=False)
    if done.returncode != expect:
        sys.exit(f"training ended with {done.returncode}, expected {expect}")


def check_seen(work: Path, ids: dict[str, list[int]]) -> None:
    """Check that each epoch had every sample exactly once, over both processes."""
    seen: dict[int, Counter[int]] = {}
    for line in (work / "seen.jsonl").read_text().splitlines():
        batch = json.loads(line)
        seen.setdefault(batch["epoch"], Counter()).update(batch["ids"])
    once = Counter(ids["train"])
    for epoch in range(EPOCHS):
        found = seen.get(epoch, Counter())
        lost, repeated = len(once - found), len(found - once)
        print(f"epoch {epoch + 1}: {len(found)} samples, {lost} lost, {repeated} repeated")
        if found != once:
            sys.exit("the resumed run did not see every sample exactly once")


if __name__ == "__main__":
    main()

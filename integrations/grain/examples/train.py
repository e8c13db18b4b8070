"""Read a data set with Grain, shuffled and batched, stop, and go on from the saved state.

python train.py s3://bucket/folder
"""

from __future__ import annotations

import json
import sys
from typing import Any

import grain
import numpy as np
import s3dlio
from s3dlio_grain import Source


def main(folder: str) -> None:
    with s3dlio.TFRecordWriter(f"{folder}/train.tfrecord", index=True) as writer:
        for number in range(64):
            writer.write(np.int32(number).tobytes())

    source = Source(f"{folder}/train.tfrecord", format="tfrecord")
    data: Any = grain.MapDataset.source(source).shuffle(seed=1).map(number_of).batch(8)
    batches = iter(data.to_iter_dataset())
    first = [next(batches) for _ in range(3)]
    state = json.dumps(batches.get_state())

    again = iter(data.to_iter_dataset())
    again.set_state(json.loads(state))
    numbers = np.concatenate([*first, *again])
    print(f"{len(numbers)} records, {len(set(numbers.tolist()))} different ones")


def number_of(record: bytes) -> np.int32:
    return np.frombuffer(record, np.int32)[0]


if __name__ == "__main__":
    main(sys.argv[1])

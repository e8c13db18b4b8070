"""Print the labels of two epochs that worker processes of DALI made. Arguments: data, start method, workers."""

from __future__ import annotations

import json
import sys
from typing import Any

from nvidia.dali import pipeline_def
from s3dlio.dali import ExternalSource


def only_label(sample: Any) -> Any:
    return sample["label"]


def main(uri: str, method: str, workers: int) -> None:
    source = ExternalSource(uri, batch_size=4, shuffle=True, seed=5, decoder="npz", transform=only_label)

    @pipeline_def(batch_size=4, num_threads=1, device_id=None, py_start_method=method, py_num_workers=workers)
    def defined() -> Any:
        return tuple(source.read(parallel=True))

    built = defined()
    built.build()
    epochs: list[list[list[int]]] = []
    for _ in range(2):
        epochs.append([])
        try:
            while True:
                (labels,) = built.run()
                epochs[-1].append([int(labels.at(number)) for number in range(len(labels))])
        except StopIteration:
            built.reset()
    print(json.dumps(epochs))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

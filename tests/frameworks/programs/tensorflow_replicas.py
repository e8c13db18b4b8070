"""Train on two devices of one process; end in the middle of an iteration that is read ahead.

Arguments: data. Prints the labels of the global batches that both replicas saw, and the state after them.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import tensorflow as tf
from s3dlio.tensorflow import Loader, make_tf_dataset

OPTIONS = {"decoder": "npz", "shuffle": True, "seed": 5}


def pair(sample: Any) -> Any:
    return sample["x"], sample["label"].astype("float32")


def main(uri: str) -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"], tf.distribute.HierarchicalCopyAllReduce())
    assert strategy.num_replicas_in_sync == 2

    # The library splits batches over the replicas.
    loader = Loader(uri, batch_size=4, transform=pair, last="drop", **OPTIONS)
    seen = []
    for _, labels in strategy.experimental_distribute_dataset(loader.dataset()):
        parts = strategy.experimental_local_results(labels)
        assert [len(part) for part in parts] == [2, 2]
        seen.append([int(label) for part in parts for label in part])
    with strategy.scope():
        model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(1)])
        model.compile("adam", "mse")
    loader.set_epoch(0)
    model.fit(loader.dataset(), epochs=2, shuffle=False, verbose=0, callbacks=[loader.callback()])

    # Or each input pipeline makes its own.
    def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
        size = context.get_per_replica_batch_size(4)
        return make_tf_dataset(uri, batch_size=size, input_context=context, drop_last=True, **OPTIONS).prefetch(2)

    halves = []
    for batch in strategy.distribute_datasets_from_function(own):
        halves.append([[int(label) for label in part] for part in strategy.experimental_local_results(batch["label"])])
    print(json.dumps({"seen": seen, "halves": halves, "state": loader.state_dict()}))
    # Reading ahead goes on while the interpreter ends.
    endless = iter(loader.dataset().repeat().prefetch(4))
    next(endless)


if __name__ == "__main__":
    main(sys.argv[1])

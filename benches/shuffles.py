"""Measure how well the shuffles of the loader mix, and what they cost in blocks of the file.

For each shuffle and window, over several epochs of one ArrayRecord file:

* ``rank correlation``: Spearman's, between the order of the file and that of the epoch; 0 for a perfect shuffle;
* ``same block``: the share of neighbours in the epoch that come from one block, against that of a perfect shuffle;
* ``epoch to epoch``: the rank correlation of one epoch with the next;
* ``blocks read``: how often a block is begun anew by a reader that keeps one window, in multiples of reading it once.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import s3dlio
from s3dlio import _s3dlio
from s3dlio.array_record.array_record_module import ArrayRecordWriter

BLOCK = 1 << 20
EPOCHS = 5


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=1024, help="bytes of a record")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.array_record"
        with ArrayRecordWriter(str(path), "group_size:1,uncompressed") as writer:
            for _ in range(options.records):
                writer.write(bytes(options.bytes))
        dataset = s3dlio.PyDataset(str(path), format="array_record")
        print(f"{'shuffle':<12}{'rank correlation':>18}{'same block':>22}{'epoch to epoch':>16}{'blocks read':>13}")
        for shuffle, window in [("none", 0), ("block", 2), ("block", 8), ("block", 0), ("block", 128), ("global", 0)]:
            report(dataset, shuffle, window, BLOCK // options.bytes)


def report(dataset: s3dlio.PyDataset, shuffle: str, window: int, block: int) -> None:
    """Print one line."""
    options = s3dlio.LoaderOptions(batch_size=1, shuffle=shuffle if shuffle != "none" else False, shuffle_window=window)
    core = _s3dlio.Loader(dataset.objects, **options.core_kwargs())
    orders = [core.order(epoch).astype(np.int64) for epoch in range(EPOCHS)]
    file = np.arange(len(dataset))
    correlation = np.mean([abs(np.corrcoef(file, order)[0, 1]) for order in orders])
    same = np.mean([np.mean(order[1:] // block == order[:-1] // block) for order in orders])
    perfect = min(block / len(dataset), 1)
    ranks = [np.argsort(order) for order in orders]
    between = np.mean([abs(np.corrcoef(one, other)[0, 1]) for one, other in itertools.pairwise(ranks)])
    name = shuffle if window == 0 else f"{shuffle}/{window}"
    reads = np.mean([blocks_read(order // block, window or 32) for order in orders[:2]])
    print(f"{name:<12}{correlation:>18.4f}{same:>12.4f} ({perfect:.4f}){between:>16.4f}{reads:>13.2f}")


def blocks_read(blocks: np.ndarray, kept: int) -> float:
    """Count the blocks that a reader fetches which keeps the last ``kept`` ones, for each block of the file."""
    recent: OrderedDict[int, None] = OrderedDict()
    fetched = 0
    for block in blocks.tolist():
        if block in recent:
            recent.move_to_end(block)
            continue
        fetched += 1
        recent[block] = None
        if len(recent) > kept:
            recent.popitem(last=False)
    return fetched / len({*blocks.tolist()})


if __name__ == "__main__":
    main()

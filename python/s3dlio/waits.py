"""What the figures of an iteration say in words."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["bottleneck"]

_CAUSES = {
    "wait_budget_nanos": "room in the memory budget (raise memory_budget or prefetch)",
    "wait_request_nanos": "the first bytes of reads (raise num_workers or prefetch, or use larger files)",
    "wait_bytes_nanos": "the bytes of reads (the store or the network is the limit; raise num_workers)",
    "wait_decode_nanos": "decoding (raise S3DLIO_DECODE_THREADS, or store arrays uncompressed)",
    "wait_assemble_nanos": "putting batches together (smaller samples, or collate='list')",
}

# Below this share of the time the loader keeps up with its consumer.
_KEEPS_UP = 0.05


def bottleneck(figures: Mapping[str, int], seconds: float) -> str:
    """Return one line: the share of ``seconds`` that was spent waiting, and for what most of it was."""
    waited = figures.get("wait_nanos", 0) / 1e9
    share = waited / seconds if seconds > 0 else 0.0
    head = f"waited {waited:.2f} s of {seconds:.2f} s ({share:.0%})"
    if share < _KEEPS_UP:
        return f"{head}: the loader keeps up with its consumer"
    name = max(_CAUSES, key=lambda cause: figures.get(cause, 0))
    part = figures.get(name, 0) / 1e9 / waited
    return f"{head}, {part:.0%} of it for {_CAUSES[name]}"

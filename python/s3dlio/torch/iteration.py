"""One running iteration of an iterable data set."""

# torch's own annotations are partial.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, Self

from torch.utils.data import default_collate

from s3dlio import _s3dlio
from s3dlio.dataset import log_skipped
from s3dlio.errors import TransformError
from s3dlio.torch.convert import Converter
from s3dlio.transform import Refused, apply
from s3dlio.waits import bottleneck

__all__ = ["Iteration"]


class Iteration:
    """An iterator over samples or batches that knows how far its consumer is."""

    def __init__(
        self,
        core: _s3dlio.Loader,
        objects: _s3dlio.Objects,
        *,
        epoch: int,
        step: int,
        skip: int,
        stride: int,
        batched: bool,
        convert: Converter,
        transform: Callable[[Any], Any] | None,
        stacked: bool,
        take: int,
    ) -> None:
        self._core = core
        self._batches = core.iterate(epoch, step)
        self._began = time.monotonic()
        self._objects = objects
        self._epoch = epoch
        self._step = step
        self._sample = skip
        self._stride = stride
        self._batched = batched
        self._convert = convert
        self._transform = transform
        self._stacked = stacked
        # Batches taken over at once in sample mode: one crossing into Rust then serves many samples.
        self._take = max(take // core.batch_size, 1)
        self._skip = skip
        self._ready: list[Any] = []
        self._samples: list[Any] = []
        self._refused = Refused(core, self._batches, objects)
        self._repeated = 0
        self._asked = False
        self._done = False
        self._failed: Exception | None = None

    @property
    def epoch(self) -> int:
        """The epoch."""
        return self._epoch

    @property
    def asked(self) -> bool:
        """Whether anything has been asked of it."""
        return self._asked

    def state(self, *, whole_epoch: bool) -> str:
        """Return the state of what the consumer will get next, as JSON.

        ``whole_epoch`` says that the epoch is over where this iteration is, and the next thing is the next epoch.
        """
        if self._done and whole_epoch:
            return self._core.state(self._epoch + 1, 0, 0)
        return self._core.state(self._epoch, self._step, self._sample)

    def stats(self) -> dict[str, int]:
        """Return the figures of the core; samples that the transform refused count as skipped.

        ``repeated`` are those samples that fill up the end of the epoch.
        """
        figures = self._batches.stats()
        return figures | {
            "repeated": self._repeated,
            "samples": figures["samples"] - self._refused.left_out,
            "skipped": figures["skipped"] + self._refused.count,
        }

    def bottleneck(self) -> str:
        """Return in one line what the consumer waited for most."""
        return bottleneck(self.stats(), time.monotonic() - self._began)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        self._asked = True
        if self._failed is not None:
            raise self._failed
        try:
            return self._next_batch() if self._batched else self._next_sample()
        except StopIteration:
            raise
        except Exception as error:
            # A loop that goes on after an error must not miss what failed.
            self._failed = error
            raise

    def _next_batch(self) -> Any:
        while True:
            if not self._ready:
                ready = self._batches.next()
                if ready is None:
                    return self._end()
                # It stays until it is done: after an interrupt the next call begins with it anew.
                self._ready = [ready]
            step, indices, real, data, skipped = self._ready[0]
            batch = self._batch(indices, data)
            del self._ready[0]
            log_skipped(skipped)
            self._repeated += len(indices) - real
            self._step, self._sample = step + self._stride, 0
            if batch is not None:
                return batch
            self._warn_about_empty(step)

    def _batch(self, indices: Any, data: Any) -> Any:
        if self._transform is None:
            return None if len(indices) == 0 else self._convert.batch(data)
        done = [self._finish(index, sample) for index, sample in zip(indices, data, strict=True)]
        samples = [sample for found in done if found for sample in found]
        if not samples:
            return None
        return default_collate(samples) if self._stacked else samples

    def _next_sample(self) -> Any:
        while True:
            while self._samples:
                index, sample, step, left = self._samples[-1]
                done = self._finish(index, sample)
                self._samples.pop()
                self._step, self._sample = (step + self._stride, 0) if left == 0 else (step, self._sample + 1)
                if done:
                    return done[0]
            if not self._ready:
                self._ready = self._batches.next_many(self._take)[::-1]
                if not self._ready:
                    return self._end()
            self._take_samples()

    def _take_samples(self) -> None:
        step, indices, real, data, skipped = self._ready.pop()
        log_skipped(skipped)
        count = len(indices)
        self._repeated += count - real
        samples = [
            (int(index), sample, step, count - 1 - at)
            for at, (index, sample) in enumerate(zip(indices, data, strict=True))
        ]
        # Popped from the end; a resumed iteration leaves out what its first block had given already.
        self._samples = samples[self._skip :][::-1]
        self._skip = 0
        if not self._samples:
            self._step, self._sample = step + self._stride, 0

    def _finish(self, index: int, sample: Any) -> tuple[Any] | None:
        try:
            return (self._apply(sample, index),)
        except TransformError as error:
            found = self._refused.instead(index, error, self._apply)
            return (found[0],) if found else None

    def _apply(self, sample: Any, index: int) -> Any:
        converted = self._convert.sample(sample)
        if self._transform is None:
            return converted
        return apply(self._transform, converted, self._objects.uri(index), index)

    def _warn_about_empty(self, step: int) -> None:
        message = (
            f"every sample of batch {step} was skipped, so this rank gives one batch less than the others: "
            "ranks that synchronise at each batch will wait for it"
        )
        warnings.warn(message, RuntimeWarning, stacklevel=4)

    def _end(self) -> Any:
        self._done = True
        raise StopIteration

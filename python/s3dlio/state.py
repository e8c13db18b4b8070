"""Saved states of loaders: what they say, and how to go on later than they do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from s3dlio import _s3dlio
from s3dlio.errors import StateMismatchError

__all__ = ["describe", "skip"]


def describe(state: Mapping[str, Any] | str) -> str:
    """Return a state, as ``state_dict()`` gives it, in one line for people.

    Raises:
        StateMismatchError: It is no state of a loader.
    """
    return _s3dlio.describe_state(_text(state))


def skip(state: Mapping[str, Any] | str, samples: int) -> dict[str, Any]:
    """Return the state that lies ``samples`` samples of the whole job behind a state of whole steps.

    All ranks together consume ``batch_size`` times world size samples with each step, so ``samples`` has to be a
    multiple of that. It may be negative, to go back. The end of the epoch is as far as it goes.

    Raises:
        StateMismatchError: It is no state of a loader, or one saved inside a batch or by one of several ``DataLoader``
            workers; ``samples`` is no multiple of the global batch, or leads before the epoch or beyond its end.
    """
    describe(state)
    fields: dict[str, Any] = json.loads(_text(state))
    if fields.get("sample") or "worker" in fields:
        message = (
            "a state inside a batch, or of one DataLoader worker, cannot be moved: found one, expected whole steps"
        )
        raise StateMismatchError(message)
    step = fields["batch_size"] * fields["world"]
    steps, left = divmod(samples, step)
    if left:
        message = f"`samples`: found {samples}, expected a multiple of {step} (batch_size * world size)"
        raise StateMismatchError(message)
    moved = fields | {"batch": fields["batch"] + steps}
    if moved["batch"] < 0:
        message = f"`samples`: found {samples}, expected at least {-fields['batch'] * step}, where the epoch begins"
        raise StateMismatchError(message)
    describe(moved)
    return moved


def _text(state: Mapping[str, Any] | str) -> str:
    return state if isinstance(state, str) else json.dumps(dict(state))

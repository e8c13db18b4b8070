"""How DLIO comes to use s3dlio: its two factories are asked here first."""

# DLIO ships no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import importlib
from typing import Any

import s3dlio
from dlio_benchmark.data_generator.generator_factory import GeneratorFactory
from dlio_benchmark.storage.storage_factory import StorageFactory
from dlio_benchmark.utils.config import ConfigArguments

from s3dlio_dlio.storage import Storage

__all__ = ["install"]

# Formats of DLIO, and the names of their reader and generator here.
_FORMATS = {"npz": "NPZ", "npy": "NPY", "tfrecord": "TFRecord"}


def _part(format_: Any, kind: str) -> str:
    name = _FORMATS.get(str(format_))
    if name is None:
        raise s3dlio.UnsupportedError(f"dataset.format: found {format_} on a URI, expected one of {[*_FORMATS]}")
    return name + kind


def install() -> None:
    """Have DLIO use s3dlio wherever ``storage.storage_root`` is a URI; a second call changes nothing.

    DLIO has places in its YAML files for a reader, but none for a storage and a generator.
    """
    if getattr(StorageFactory, "_s3dlio", False):
        return
    own_storage, own_generator = StorageFactory.get_storage, GeneratorFactory.get_generator

    def get_storage(storage_type: Any, namespace: Any, framework: Any = None) -> Any:
        if "://" not in str(namespace):
            return own_storage(storage_type, namespace, framework)
        arguments = ConfigArguments.get_instance()
        if arguments.reader_classname is None:
            # As the YAML file would say it.
            arguments.reader_classname = f"s3dlio_dlio.{_part(arguments.format, 'Reader')}"
        return Storage(str(namespace), framework)

    def get_generator(type: Any) -> Any:  # noqa: A002 - DLIO's name
        if "://" not in str(ConfigArguments.get_instance().storage_root):
            return own_generator(type)
        return getattr(importlib.import_module("s3dlio_dlio.generators"), _part(type, "Generator"))()

    StorageFactory.get_storage = staticmethod(get_storage)
    GeneratorFactory.get_generator = staticmethod(get_generator)
    StorageFactory._s3dlio = True  # noqa: SLF001 - a mark of ours

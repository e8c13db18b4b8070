"""DLIO, the benchmark of storage for deep learning, over the stores of s3dlio.

``s3dlio-dlio`` is DLIO's own command with :func:`install` before it. Where ``storage_root`` is a URI, data sets are
made, listed and read by s3dlio; DLIO's YAML files stay as they are.
"""

from __future__ import annotations

from s3dlio_dlio.plugin import install
from s3dlio_dlio.readers import NPYReader, NPZReader, TFRecordReader
from s3dlio_dlio.storage import Storage

__all__ = ["NPYReader", "NPZReader", "Storage", "TFRecordReader", "install"]

"""Every exception: its bases, its fields, and its way through a pickle."""

from __future__ import annotations

import copy
import pickle

import pytest
import s3dlio
from s3dlio import errors

BASES = {
    "AlreadyExistsError": (FileExistsError,),
    "CheckpointError": (),
    "CheckpointExistsError": (FileExistsError,),
    "ConfigError": (ValueError,),
    "CorruptDataError": (ValueError, OSError),
    "ForkedProcessError": (),
    "IncompleteCheckpointError": (),
    "InvalidUriError": (ValueError,),
    "MissingArrayError": (KeyError,),
    "NotFoundError": (FileNotFoundError,),
    "OptionError": (ValueError, OSError),
    "OutOfRangeError": (IndexError, ValueError),
    "PermissionDeniedError": (PermissionError,),
    "PreconditionError": (),
    "S3dlioError": (RuntimeError,),
    "StateMismatchError": (ValueError,),
    "StoreError": (OSError,),
    "StoreTimeoutError": (TimeoutError,),
    "TransformError": (),
    "UnsupportedError": (NotImplementedError,),
}

every_class = pytest.mark.parametrize("name", errors.__all__)


def test_this_table_is_complete():
    assert set(BASES) == set(errors.__all__)


@every_class
def test_is_the_builtin_that_fits(name):
    kind = getattr(s3dlio, name)
    assert kind is getattr(errors, name)
    assert issubclass(kind, s3dlio.S3dlioError)
    assert issubclass(kind, RuntimeError)
    for base in BASES[name]:
        assert issubclass(kind, base)
    for other in (FileNotFoundError, PermissionError, TimeoutError, FileExistsError, NotImplementedError):
        assert issubclass(kind, other) == (other in BASES[name])


@every_class
def test_is_made_from_one_string(name):
    """DataLoader rebuilds a worker's exception as ``type(message)``."""
    error = getattr(errors, name)("what happened")
    assert str(error) == "what happened"
    assert error.args == ("what happened",)
    assert (error.uri, error.offset, error.record) == (None, None, None)
    assert str(getattr(errors, name)()) == ""


@every_class
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_with_its_fields(name, protocol):
    error = getattr(errors, name)("what happened", uri="s3://b/k", offset=7, record=3)
    for again in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert str(again) == "what happened"
        assert (again.uri, again.offset, again.record) == ("s3://b/k", 7, 3)


@every_class
def test_documents_itself(name):
    assert getattr(errors, name).__doc__


def raised(call) -> s3dlio.S3dlioError:
    with pytest.raises(s3dlio.S3dlioError) as caught:
        call()
    return caught.value


def test_errors_of_the_core_pickle_too(tmp_path):
    error = raised(lambda: s3dlio.get(f"file://{tmp_path}/missing"))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is s3dlio.NotFoundError
    assert (str(again), again.uri) == (str(error), f"file://{tmp_path}/missing")


def test_a_decoding_error_names_object_and_record(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.npz").write_bytes(b"PK\3\4 this is no archive")
    loader = s3dlio.create_dataset(f"file://{tmp_path}/").objects
    error = raised(loader.read([2], 1, "npz").wait)
    assert isinstance(error, s3dlio.CorruptDataError)
    assert (error.uri, error.record) == (f"file://{tmp_path}/2.npz", 2)
    assert "2.npz" in str(error)


def test_an_error_is_caught_by_its_builtin(tmp_path):
    with pytest.raises(FileNotFoundError):
        s3dlio.get(f"file://{tmp_path}/missing")
    with pytest.raises(ValueError, match="scheme"):
        s3dlio.get("nowhere")
    with pytest.raises(RuntimeError):
        s3dlio.get("nowhere")

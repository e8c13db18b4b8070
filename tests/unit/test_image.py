"""JPEG and PNG images as samples, held against Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
import s3dlio
from PIL import Image, ImageOps
from s3dlio.torch import Loader

SIZE = (48, 40)


def picture(number: int, height: int = 90, width: int = 120) -> Image.Image:
    """A picture of soft colours, each number another one."""
    rows, columns = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin((rows * (channel + 1) + columns * (number % 5 + 1)) / 23) for channel in range(3)]
    return Image.fromarray(np.stack(waves, -1).astype(np.uint8))


def encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return file.getvalue()


def load(folder, decoder: str, **options) -> list[np.ndarray]:
    loader = Loader(f"file://{folder}/", batch_size=4, decoder=decoder, rank=0, world_size=1, **options)
    return [np.asarray(batch) for batch in loader]


@pytest.fixture(params=["PNG", "JPEG"])
def folder(request, tmp_path):
    for number in range(10):
        (tmp_path / f"{number:02}").write_bytes(encoded(picture(number), request.param))
    return tmp_path


def pillow(folder, number: int) -> Image.Image:
    return Image.open(folder / f"{number:02}").convert("RGB")


def assert_near(found: np.ndarray, expected: np.ndarray, most: int) -> None:
    assert found.shape == expected.shape
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= most


def test_images_are_those_of_pillow(folder):
    batches = load(folder, "image")
    assert [len(batch) for batch in batches] == [4, 4, 2]
    for number, found in enumerate(np.concatenate(batches)):
        # Decoders of JPEG differ in the last bits of their transform, and at the edges in how they enlarge the colours.
        assert_near(found, np.asarray(pillow(folder, number)), 8)


@pytest.mark.parametrize(
    ("fit", "expected"),
    [
        ("stretch", lambda image: image.resize((SIZE[1], SIZE[0]), Image.Resampling.BILINEAR)),
        ("crop", lambda image: ImageOps.fit(image, (SIZE[1], SIZE[0]), Image.Resampling.BILINEAR)),
        ("pad", lambda image: ImageOps.pad(image, (SIZE[1], SIZE[0]), Image.Resampling.BILINEAR)),
    ],
)
def test_resizing_is_that_of_pillow(folder, fit, expected):
    found = np.concatenate(load(folder, s3dlio.image_decoder(SIZE, fit=fit)))
    assert found.shape == (10, *SIZE, 3)
    for number in range(10):
        assert_near(found[number], np.asarray(expected(pillow(folder, number))), 5)


def test_grey_is_that_of_pillow(folder):
    found = np.concatenate(load(folder, s3dlio.image_decoder(channels="gray")))
    for number in range(10):
        assert_near(found[number][..., 0], np.asarray(pillow(folder, number).convert("L")), 4)


def test_channels_can_come_first(folder):
    rows = np.concatenate(load(folder, s3dlio.image_decoder(32)))
    planes = np.concatenate(load(folder, s3dlio.image_decoder(32, layout="chw")))
    assert planes.shape == (10, 3, 32, 32)
    assert np.array_equal(planes, rows.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16"])
def test_every_mode_of_png_becomes_colour(tmp_path, mode):
    if mode == "I;16":
        values = (np.arange(600, dtype=np.uint16) * 109).reshape(20, 30)
        image, expected = Image.fromarray(values), np.repeat((values >> 8).astype(np.uint8)[..., None], 3, -1)
    else:
        image = picture(3, 20, 30).convert(mode)
        expected = np.asarray(image.convert("RGB"))
    (tmp_path / "image").write_bytes(encoded(image, "PNG"))
    (found,) = load(tmp_path, "image")[0]
    assert np.array_equal(found, expected)


def test_images_of_their_own_sizes_come_as_a_list(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}").write_bytes(encoded(picture(number, 20 + number, 30), "PNG"))
    loader = Loader(f"file://{tmp_path}/", batch_size=3, decoder="image", collate="list", rank=0, world_size=1)
    (batch,) = loader
    assert [np.asarray(sample).shape for sample in batch] == [(20, 30, 3), (21, 30, 3), (22, 30, 3)]
    with pytest.raises(s3dlio.CorruptDataError, match=r"20, 30, 3"):
        load(tmp_path, "image")


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"no image" + data])
def test_a_damaged_image_is_named_or_skipped(folder, damage):
    path = folder / "03"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(s3dlio.CorruptDataError) as caught:
        load(folder, "image")
    assert caught.value.uri == f"file://{path}"
    batches = load(folder, "image", on_error="skip")
    assert [len(batch) for batch in batches] == [3, 4, 2]


def test_options_are_checked(folder):
    for bad in (0, (0, 5), (5, -1)):
        with pytest.raises(s3dlio.ConfigError, match="size"):
            s3dlio.image_decoder(bad)
    for bad in ("images", "image:5", "image:5x70000", "image:round"):
        with pytest.raises(s3dlio.ConfigError, match="decoder"):
            s3dlio.create_dataset(f"file://{folder}/", {"decoder": bad})[0]


def test_a_data_set_decodes_too(folder):
    data = s3dlio.create_dataset(f"file://{folder}/", {"decoder": s3dlio.image_decoder(16)})
    assert data[0].shape == (16, 16, 3)

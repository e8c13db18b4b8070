"""JPEG and PNG images as samples."""

from __future__ import annotations

from typing import Literal

from s3dlio.arguments import at_least

__all__ = ["image_decoder"]


def image_decoder(
    size: int | tuple[int, int] | None = None,
    *,
    fit: Literal["crop", "stretch", "pad"] = "crop",
    channels: Literal["rgb", "gray"] = "rgb",
    layout: Literal["hwc", "chw"] = "hwc",
) -> str:
    """Return the option ``decoder`` of a loader that decodes JPEG and PNG images on the library's threads.

    A sample is an array of ``uint8``, ``[height, width, channels]`` or with ``layout="chw"`` ``[channels, height,
    width]``; samples of one ``size`` make a batch ``[B, ...]``. Resizing is antialiased and bilinear, as Pillow's. An
    alpha channel is dropped, 16-bit samples keep their upper byte, and an orientation in EXIF data is ignored. Images
    of more than 178,956,970 pixels are refused as ``UnsupportedError``, damaged and cut ones as ``CorruptDataError``::

        loader = s3dlio.torch.Loader(uri, batch_size=64, decoder=s3dlio.image_decoder(224))

    Args:
        size: Rows and columns, or the side of a square, 1 to 65,536; ``None`` keeps that of each image, which needs
            ``collate="list"`` where they differ.
        fit: ``"crop"`` covers the size and cuts at the middle, ``"stretch"`` changes the proportions, ``"pad"`` lies
            within the size in the middle of black.
        channels: ``"rgb"`` or ``"gray"`` (luma, one channel).
        layout: The order of the axes.

    Raises:
        ConfigError: A side is below 1. The loader says so of everything else that is out of range.
    """
    words: list[str] = [fit, channels, layout]
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        words.insert(0, f"{at_least('size', height, 1)}x{at_least('size', width, 1)}")
    return f"image:{','.join(words)}"

"""Pictures in reports are PNGs that a reader of PNGs reads back, and nothing else."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from armour.errors import FormatError, InvalidArgument
from armour.thumbnails import MAX_SIDE, Picture, difference, picture


def pixels(shown: Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.png))))


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 5, 9)])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_pillow_reads_back_the_bytes(shape: tuple[int, ...], bounds: tuple[float, float]) -> None:
    levels = np.random.default_rng(0).integers(0, 256, shape)
    image = bounds[0] + levels / 255 * (bounds[1] - bounds[0])
    shown = picture(image.astype(np.float32), bounds)
    assert (shown.height, shown.width) == shape[1:]
    back = pixels(shown)
    assert np.array_equal(back if shape[0] == 1 else back.transpose(2, 0, 1), levels.squeeze())


def test_other_shapes_are_laid_out_in_grey() -> None:
    assert pixels(picture(np.zeros((4, 6, 5), np.float32), (0, 1))).shape == (6, 20)
    assert pixels(picture(np.ones(7, np.float32), (0, 1))).shape == (1, 7)
    large = picture(np.zeros((1, 1500, 900), np.float32), (0, 1))
    assert max(large.width, large.height) <= MAX_SIDE
    with pytest.raises(InvalidArgument, match="with pixels"):
        picture(np.zeros((1, 0, 4), np.float32), (0, 1))


def test_values_that_are_none_do_not_reach_the_file() -> None:
    image = np.array([[[np.nan, np.inf], [-np.inf, 9.0]]], np.float32)
    assert pixels(picture(image, (0, 1))).tolist() == [[0, 255], [0, 255]]
    _, largest = difference(image, np.zeros_like(image))
    assert largest == 9


def test_a_difference_tells_up_from_down_in_lightness_too() -> None:
    root = np.zeros((1, 1, 3), np.float32)
    shown, largest = difference(np.array([[[-0.25, 0.0, 0.25]]], np.float32), root)
    assert largest == 0.25
    lowered, same, raised = pixels(shown)[0].astype(int)
    assert lowered.mean() < raised.mean() < same.mean()
    assert difference(root, root)[1] == 0
    with pytest.raises(InvalidArgument, match="one shape"):
        difference(root, root[..., :2])


def test_colour_differences_show_the_channel_that_changed_most() -> None:
    image = np.zeros((3, 1, 1), np.float32)
    image[:, 0, 0] = 0.1, -0.4, 0.2
    assert difference(image, np.zeros_like(image))[1] == pytest.approx(0.4)


@pytest.mark.parametrize(
    "png",
    ["", "%%%", "aGVsbG8=", base64.b64encode(b"GIF89a" + bytes(40)).decode(), '"><script>alert(1)</script>'],
)
def test_text_that_is_no_png_is_refused(png: str) -> None:
    with pytest.raises(FormatError, match="expected a"):
        Picture(width=1, height=1, png=png)


def test_a_png_of_another_size_than_stated_is_refused() -> None:
    good = picture(np.zeros((1, 4, 4), np.float32), (0, 1))
    with pytest.raises(FormatError, match="PNG of 5 x 4"):
        Picture(width=5, height=4, png=good.png)
    with pytest.raises(FormatError, match="at most"):
        Picture(width=4, height=4, png="A" * 500_000)

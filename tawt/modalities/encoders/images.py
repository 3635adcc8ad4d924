"""Images: of any size, grey or coloured, of 8 or 16 bits, to squares of one size."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tawt.arrays import Floats, Words
from tawt.chance import draw, uniform
from tawt.config.modalities import ImageConfig
from tawt.modalities.encoders.convolutions import ConvolutionalNet
from tawt.modalities.encoders.modality import OF_WEIGHTS, Modality
from tawt.modalities.encoders.patches import PatchTransformer

_LUMA = (0.299, 0.587, 0.114)
"""Of a grey that a coloured image looks like. Source: ITU-R BT.601."""
_TURN, _STRETCH, _MOVE, _LIGHT = 0.35, 0.2, 0.2, 0.4
"""Most that an image is changed: radians, share of a side, half a side's share, share of the brightness."""


class Image(Modality):
    """Images `(height, width, channels)` of whole numbers, whose largest is as bright as their type can hold."""

    prefix = "IMAGE//"

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        self.config, self.frozen = config, config.frozen
        channels = 1 if config.channels == "grey" else 3
        self.shape, self.d_embedding = (channels, config.size, config.size), config.d_embedding
        cnn, vit = config.cnn, config.vit
        self.net: nn.Module = (
            ConvolutionalNet(2, channels, cnn.width, cnn.n_stages, cnn.depth, config.d_embedding)
            if config.encoder == "cnn"
            else PatchTransformer(vit, config.size, channels, config.d_embedding)
        )

    def prepared(self, array: NDArray[Any]) -> Tensor:
        """`(height, width, channels)` -> `(channels, size, size)` float32 from -1, which is black, to 1."""
        return fitted(coloured(as_float(array), self.shape[0]), self.config.size) * 2 - 1

    def augmented(self, inputs: Tensor, words: Words) -> Tensor:
        """Move, turn and stretch images, and make them darker or brighter."""
        return changed(inputs, words, self.config.augment)

    def forward(self, inputs: Tensor) -> Tensor:
        """`(m, channels, size, size)` -> `(m, d_embedding)`."""
        return self.net(inputs)

    def says(self) -> dict[str, Any]:
        """Return the config, but for what is no matter once it is trained."""
        return self.config.model_dump(mode="json", exclude={"augment", *OF_WEIGHTS})


def as_float(array: NDArray[Any]) -> Tensor:
    """Return an image `(height, width, channels)` as `(channels, height, width)` float32 between 0 and 1."""
    most = np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1), dtype=np.float32)) / most


def coloured(image: Tensor, channels: int) -> Tensor:
    """Return an image with one channel, or with three: `(c, height, width)` -> `(channels, height, width)`.

    Of two or four the last says how opaque it is, and is left out.
    """
    image = image[: 3 if len(image) >= 3 else 1]
    if len(image) == channels:
        return image
    if channels == 1:
        return torch.einsum("chw,c->hw", image, image.new_tensor(_LUMA))[None]
    return image.expand(channels, -1, -1)


def resized(image: Tensor, height: int, width: int, mode: str = "bilinear") -> Tensor:
    """Return an image of another size; of what becomes smaller, each pixel is a mean over all that it covers."""
    if image.shape[1:] == (height, width):
        return image
    smooth = mode != "nearest"
    return functional.interpolate(image[None], (height, width), mode=mode, antialias=smooth)[0]


def fitted(image: Tensor, size: int) -> Tensor:
    """Return an image in the middle of a black square, as large as fits into it."""
    height, width = image.shape[1:]
    longest = max(height, width)
    height, width = (max(1, round(side * size / longest)) for side in (height, width))
    return centred(resized(image, height, width), size, size)


def centred(image: Tensor, height: int, width: int) -> Tensor:
    """Return the middle of an image, or the image in the middle of black."""
    over, across = image.shape[1] - height, image.shape[2] - width
    return functional.pad(image, (-(across // 2), across // 2 - across, -(over // 2), over // 2 - over))


def changed(images: Tensor, words: Words, amount: float) -> Tensor:
    """Move, turn and stretch images and change their light, by as much as `words` say.

    Args:
        images: `(m, channels, size, size)`, -1 is black.
        words: `(m,)`, all that chance hangs on.
        amount: 0 = not at all, 1 = as much as leaves a radiograph one.
    """
    if not amount or not len(images):
        return images

    def drawn(what: int) -> Floats:
        return amount * (2 * uniform(draw(words, what)) - 1)

    turn, wide, high = _TURN * drawn(0), 1 + _STRETCH * drawn(1), 1 + _STRETCH * drawn(2)
    places = np.stack([
        np.cos(turn) * wide, -np.sin(turn) * high, _MOVE * drawn(3),
        np.sin(turn) * wide, np.cos(turn) * high, _MOVE * drawn(4),
    ], 1)  # fmt: skip
    grid = functional.affine_grid(torch.from_numpy(places).float().view(-1, 2, 3), [*images.shape], align_corners=False)
    moved = functional.grid_sample(images + 1, grid, align_corners=False) - 1
    light, contrast = (torch.from_numpy(_LIGHT * drawn(what)).float()[:, None, None, None] for what in (5, 6))
    return moved * (1 + contrast) + light

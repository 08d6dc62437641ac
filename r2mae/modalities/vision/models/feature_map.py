"""The layout of a timm backbone's feature map: declared by timm, checked by one pass.

Shapes: B images, C channels, H x W pixels, D features; h x w cells of stride x stride
pixels, h = H / stride and w = W / stride.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from r2mae.errors import InputError, first_line
from r2mae.modalities.vision.schema import height_width
from r2mae.models.meta_pass import run_on_meta

Layout = Literal["NCHW", "NHWC", "tokens"]


@dataclass(frozen=True)
class FeatureMap:
    """How to read the output of `forward_features`."""

    layout: Layout
    grid: tuple[int, int]  # cells in (rows, columns)
    stride: int  # pixels of a cell's side
    width: int  # features of a cell, D
    num_prefix: int = 0  # class and register tokens before the cells

    def cells(self, features: Tensor) -> Tensor:
        """Features in the backbone's layout -> (B, h * w, D), row by row."""
        if self.layout == "NCHW":
            return features.flatten(2).transpose(1, 2)
        if self.layout == "NHWC":
            return features.flatten(1, 2)
        return features[:, self.num_prefix :]


def read_feature_map(
    encoder: Any, image_size: int | tuple[int, int], channels: int
) -> tuple[FeatureMap, frozenset[str]]:
    """(feature map, parameters of encoder that no feature depends on).

    Raises: InputError when the image does not fit the stride, or the output is not a
        spatial map.
    """
    name = architecture(encoder)
    stride = _stride(encoder, name)
    check_stride(name, image_size, stride)
    height, width = height_width(image_size)
    grid = (height // stride, width // stride)
    feature_maps = []

    def images() -> tuple[Tensor]:
        return (torch.empty(2, channels, height, width),)

    def total(features: Any) -> Tensor:
        feature_maps.append(_interpret(encoder, name, features, grid, stride))
        return feature_maps[0].cells(features).sum()

    try:
        result = run_on_meta(_Features(encoder), images, total, bf16=False)
    except InputError:
        raise
    except Exception as error:  # an architecture may raise anything: show one line
        raise InputError(
            f"model.encoder {name} must take images of data.image_size {image_size}, "
            f"got: {first_line(error)}. "
            "Try another data.image_size, or another model.encoder."
        ) from None
    unused = (name.removeprefix("encoder.") for name in result.without_gradient)
    return feature_maps[0], frozenset(unused)


def interpret(
    encoder: Any, features: Any, image_size: int | tuple[int, int]
) -> FeatureMap:
    """How to read features that `encoder.forward_features` gave for images of a size.

    Raises: InputError as `read_feature_map`.
    """
    name = architecture(encoder)
    stride = _stride(encoder, name)
    height, width = height_width(image_size)
    return _interpret(
        encoder, name, features, (height // stride, width // stride), stride
    )


def architecture(encoder: Any) -> str:
    """timm's name of the model; its class where it has none."""
    config = getattr(encoder, "pretrained_cfg", None) or {}
    return str(config.get("architecture") or type(encoder).__name__)


def check_stride(name: str, image_size: int | tuple[int, int], stride: int) -> None:
    """Raise InputError unless the image is a whole number of cells."""
    for side in height_width(image_size):
        if side % stride:
            nearest = max(1, round(side / stride)) * stride
            raise InputError(
                f"data.image_size must be divisible by the stride {stride} of {name}, "
                f"got {side}. Use {nearest}."
            )


class _Features(nn.Module):
    """`forward_features` as a module's forward."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> Any:
        return self.encoder.forward_features(pixels)


def _stride(encoder: Any, name: str) -> int:
    try:
        return int(encoder.feature_info[-1]["reduction"])
    except (AttributeError, IndexError, KeyError, TypeError):
        raise _no_map(name, "does not declare its stride") from None


def _interpret(
    encoder: Any, name: str, features: Any, grid: tuple[int, int], stride: int
) -> FeatureMap:
    """The one layout of h x w cells that fits the shape and timm's declaration."""
    if not isinstance(features, Tensor) or features.ndim not in (3, 4):
        raise _no_map(name, f"gives {_described(features)}")
    rows, columns = grid
    wrong_shape = f"gives {_described(features)} where {rows} x {columns} cells are due"
    if features.ndim == 3:
        num_prefix = int(getattr(encoder, "num_prefix_tokens", 0))
        if features.shape[1] != num_prefix + rows * columns:
            raise _no_map(name, wrong_shape)
        return FeatureMap("tokens", grid, stride, features.shape[2], num_prefix)
    layouts: dict[Layout, tuple[int, int, int]] = {"NCHW": (2, 3, 1), "NHWC": (1, 2, 3)}
    # Where D equals h and w the shape fits both layouts: timm's declaration decides.
    output_format = getattr(encoder, "output_fmt", None)
    declared = getattr(output_format, "value", output_format)
    fitting = [
        layout
        for layout, (row_axis, column_axis, _) in layouts.items()
        if (features.shape[row_axis], features.shape[column_axis]) == grid
        and declared in (layout, None)
    ]
    if len(fitting) != 1:
        raise _no_map(name, wrong_shape)
    _, _, features_axis = layouts[fitting[0]]
    return FeatureMap(fitting[0], grid, stride, features.shape[features_axis])


def _described(features: Any) -> str:
    if not isinstance(features, Tensor):
        return f"a {type(features).__name__}"
    return f"features of shape {' x '.join(map(str, features.shape[1:]))} an image"


def _no_map(name: str, why: str) -> InputError:
    return InputError(
        f"model.encoder must give a spatial feature map, got {name!r}, which {why}. "
        "Choose one such as resnet18, convnext_tiny, swin_tiny_patch4_window7_224 "
        "or mixer_s16_224."
    )

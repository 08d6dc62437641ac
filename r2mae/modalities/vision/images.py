"""Images as uint8 batches: decoded, cached, randomly cropped and flipped.

Augmentation is a function of (seed, position). The model standardises pixels.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.card import load_card
from r2mae.data.source import Batch, Part, SampleSource
from r2mae.errors import InputError
from r2mae.masking.rng import RandomStream, uniforms
from r2mae.modalities.vision.image_objects import ImageObjects
from r2mae.modalities.vision.image_records import (
    ImageRecords,
    has_split,
    open_record_paths,
    open_records,
)
from r2mae.modalities.vision.labelled_folder import LabelledFolder
from r2mae.modalities.vision.mixing import mix_pairs
from r2mae.modalities.vision.pixel_cache import PixelCache
from r2mae.modalities.vision.read_image import bad_images, read_pixels
from r2mae.modalities.vision.schema import (
    AugmentSection,
    TuningAugmentSection,
    VisionData,
    height_width,
)
from r2mae.modalities.vision.survey import print_once, warn_of_dark_images
from r2mae.modalities.vision.timm_augment import augment_views

_CROP_TRIES = 10
_ASPECT = (3 / 4, 4 / 3)
Box = tuple[float, float, float, float]


def open_images(section: VisionData, split: str) -> SampleSource:
    """The images of a recipe's data section, split "train" or "test"."""
    card, share = load_card(section.card), section.test_share
    if card.embedded is not None and section.root is not None:
        raise InputError(
            f"data.root must not be set with card {section.card}, whose images come with an "
            f"installed package, got {section.root}. For images of your own set data.card: "
            "image_folder."
        )
    if share is None:
        records = open_records(card, section.root, split, section.label_column)
        _warn(records, section)
        return Images(records, section)
    if has_split(card, section.root, "test"):
        raise InputError(
            "data.test_share must be null for data with a test split of its own, "
            f"got {share}. Leave it out."
        )
    records = open_records(card, section.root, "train", section.label_column)
    _warn(records, section)
    images = Images(records, section)
    size = len(images) - round(share * len(images))
    if not 0 < size < len(images):
        raise InputError(
            f"data.test_share must leave images on both sides of {len(images)}, "
            f"got {share}. Use more images or another share."
        )
    return Part(images, size, held_out=split == "test")


def open_image_paths(section: VisionData, paths: list[str]) -> "Images":
    """Images of a folder, parquet files or image files, prepared as the recipe's own."""
    records = open_record_paths(load_card(section.card), paths, section.label_column)
    _warn(records, section)
    return Images(records, section)


def open_image_objects(section: VisionData, images: Any) -> "Images":
    """Images in memory, seen as the recipe sees its own."""
    # Nothing is cached: the images are in memory already.
    section = section.model_copy(update={"on_bad_sample": "stop", "cache_mib": 0})
    return Images(ImageObjects(images, section), section)


def _warn(records: ImageRecords, section: VisionData) -> None:
    warn_of_dark_images(records, section)
    if isinstance(records, LabelledFolder) and records.note:
        print_once(f"data: {records.note}")


class Images:
    """A `SampleSource` of uint8 images of one size, h x w pixels.

    `load` gives {"images": (B, C, h, w) uint8, "indices": (B,) of the images that were
    read, "skipped": names of unreadable images}, and "share" (B,) where images are mixed.
    """

    def __init__(self, records: ImageRecords, section: VisionData) -> None:
        self.records = records
        self.section = section
        self.fingerprint = records.fingerprint
        self.labels_absent = records.labels_absent
        self.class_names = records.class_names
        self._cache = PixelCache(len(records), section.cache_mib << 20)
        self._unreadable: set[int] = set()
        self._bad_images = bad_images(section)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """(N,) class numbers, or None."""
        return self.records.labels

    def name(self, index: int) -> str:
        """Path of the image, or its place in a table."""
        return self.records.name(index)

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Views of data.image_size of the images at indices (B,), augmented where positions are given.

        Raises: InputError naming an unreadable image when `on_bad_sample` is stop, or
            when more than half of all images are unreadable. Each process counts those
            that it tries.
        """
        skipped: list[str] = []
        samples = [self._pixels(index, skipped) for index in indices.tolist()]
        read = torch.tensor([index for index, _ in samples], dtype=torch.int64)
        pixels = [image for _, image in samples]
        shape = height_width(self.section.image_size)
        if positions is None or self.section.augment is None:
            views = [
                _view(image, _central_box(image, shape), False, shape)
                for image in pixels
            ]
        else:
            counter = torch.arange(4 * _CROP_TRIES + 1)
            draws = uniforms(
                seed, RandomStream.AUGMENT, positions[:, None], counter
            ).numpy()
            views = [
                self._augmented(image, draw)
                for image, draw in zip(pixels, draws, strict=True)
            ]
            if isinstance(self.section.augment, TuningAugmentSection):
                views = augment_views(views, positions, seed, self.section)
        images = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).contiguous()
        batch = {"images": images, "indices": read, "skipped": tuple(skipped)}
        augment = self.section.augment
        if (
            positions is not None
            and isinstance(augment, TuningAugmentSection)
            and augment.mixes
        ):
            batch["images"], batch["share"] = mix_pairs(
                images, positions, seed, augment
            )
        return batch

    def _augmented(
        self, image: npt.NDArray[np.uint8], draw: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.uint8]:
        augment = self.section.augment
        assert augment is not None
        shape = height_width(self.section.image_size)
        flip = augment.flip and bool(draw[-1] < 0.5)
        return _view(image, _crop_box(image, draw, augment, shape), flip, shape)

    def _pixels(
        self, index: int, skipped: list[str]
    ) -> tuple[int, npt.NDArray[np.uint8]]:
        """(index read, decoded pixels).

        An unreadable image is an error, or replaced by the next readable one.
        """
        at = index
        while True:  # ends: at most half of the images are unreadable
            try:
                return at, self._decoded(at)
            except InputError as error:
                self._reject(at, str(error))
            skipped.append(self.records.name(at))
            at = (at + 1) % len(self)

    def _reject(self, index: int, fault: str) -> None:
        """Count an unreadable image once. Raises: as `load`."""
        if index not in self._unreadable:
            self._bad_images.reject(index, fault)
            self._bad_images.check_few(len(self), "data")
            self._unreadable.add(index)

    def _decoded(self, index: int) -> npt.NDArray[np.uint8]:
        pixels = self._cache.get(index)
        if pixels is None:
            pixels = read_pixels(self.records, index, self.section)
            self._cache.add(index, pixels)
        return pixels


def _central_box(image: npt.NDArray[np.uint8], shape: tuple[int, int]) -> Box:
    """The largest central box of the shape's aspect ratio: (left, top, right, bottom)."""
    height, width = image.shape[:2]
    rows, columns = shape
    box_width: float = width
    box_height: float = height
    if width * rows > height * columns:
        box_width = height * columns / rows
    else:
        box_height = width * rows / columns
    left, top = (width - box_width) / 2, (height - box_height) / 2
    return left, top, left + box_width, top + box_height


def _crop_box(
    image: npt.NDArray[np.uint8],
    draw: npt.NDArray[np.float64],
    augment: AugmentSection,
    shape: tuple[int, int],
) -> Box:
    """A random resized crop: area fraction in crop_scale, aspect ratio 3/4 to 4/3.

    The aspect ratio is relative to the shape's. The central box when no try fits.

    Source: torchvision's RandomResizedCrop (Szegedy et al. 2014). Differs: draws depend
    on (seed, position), not on a global generator.
    """
    height, width = image.shape[:2]
    low, high = augment.crop_scale
    for area_draw, aspect_draw, top_draw, left_draw in draw[:-1].reshape(
        _CROP_TRIES, 4
    ):
        area = height * width * (low + (high - low) * area_draw)
        aspect = math.exp(
            math.log(_ASPECT[0]) + aspect_draw * math.log(_ASPECT[1] / _ASPECT[0])
        )
        aspect *= shape[1] / shape[0]
        crop_width, crop_height = (
            round(math.sqrt(area * aspect)),
            round(math.sqrt(area / aspect)),
        )
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left = math.floor(left_draw * (width - crop_width + 1))
            top = math.floor(top_draw * (height - crop_height + 1))
            return left, top, left + crop_width, top + crop_height
    return _central_box(image, shape)


def _view(
    image: npt.NDArray[np.uint8], box: Box, flip: bool, shape: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """The box of an image (H, W, C), resized to (h, w, C) with bicubic filtering."""
    view: Any = image
    if box != (0, 0, shape[1], shape[0]) or image.shape[:2] != shape:
        view = _resize(image, box, shape)
    return np.ascontiguousarray(view[:, ::-1]) if flip else view


def _resize(image: npt.NDArray[np.uint8], box: Box, shape: tuple[int, int]) -> Any:
    from PIL import Image

    # Pillow would take 2 and 4 bands for transparency: bands are resized one by one.
    is_colour = image.shape[2] == 3
    parts = [image] if is_colour else np.moveaxis(image, 2, 0)
    resized = [
        Image.fromarray(np.ascontiguousarray(part)).resize(
            shape[::-1], Image.Resampling.BICUBIC, box=box
        )
        for part in parts
    ]
    if is_colour:
        return np.asarray(resized[0])
    return np.stack([np.asarray(band) for band in resized], axis=2)


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    _source: type[SampleSource] = Images

"""Decoded images in memory, where those of the whole data set fit."""

from r2mae.data.space import size_text
from r2mae.modalities.vision.pixels import Pixels
from r2mae.modalities.vision.survey import Survey
from r2mae.schema.recipe import AnyRecipe

_FIRST = 16  # images, by whose sizes the data set's is estimated


class PixelCache:
    """Pixels by index, at most max_bytes; empty where num_images images would take more.

    In a shuffled order a cache of a small part of the images is seldom of use.
    """

    def __init__(self, num_images: int, max_bytes: int) -> None:
        self.num_images, self.max_bytes = num_images, max_bytes
        self._images: dict[int, Pixels] = {}
        self._num_bytes = 0  # of the cached images
        self._first: list[int] = []  # bytes of the first images

    def __len__(self) -> int:
        return len(self._images)

    def get(self, index: int) -> Pixels | None:
        """The pixels (H, W, C) of an image, or None."""
        return self._images.get(index)

    def add(self, index: int, pixels: Pixels) -> None:
        """Keep the pixels of an image that was decoded, if there is room."""
        if len(self._first) < _FIRST:
            self._first.append(pixels.nbytes)
            if len(self._first) == _FIRST and not self._all_fit():
                self._images, self.max_bytes = {}, 0
        if self._num_bytes + pixels.nbytes <= self.max_bytes:
            self._images[index] = pixels
            self._num_bytes += pixels.nbytes

    def _all_fit(self) -> bool:
        mean = sum(self._first) / len(self._first)
        return mean * self.num_images <= self.max_bytes


def describe_cache(survey: Survey, recipe: AnyRecipe) -> str:
    """The memory of one machine that decoded images will take; empty without a cache."""
    limit = recipe.data.cache_mib
    if not limit or not survey.num_bytes:
        return ""
    size = sum(survey.num_bytes) / len(survey.num_bytes) * survey.total
    if size > limit << 20:
        return (
            f"none: {size_text(size)} of decoded images, over data.cache_mib: {limit}"
        )
    hardware = recipe.hardware
    readers = hardware.devices * max(1, hardware.workers)
    each = f"up to {size_text(size)} of decoded images"
    if readers == 1:
        return each
    total = f"{size_text(readers * size)} in all"
    return f"{each} in each of {readers} workers of a machine, {total}"

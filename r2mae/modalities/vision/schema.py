"""Recipe sections of the vision modality."""

import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.pretrain import PretrainRecipe
from r2mae.schema.recipe import DataSection, ModelSection
from r2mae.schema.section import Section

_NUMBER = r"\d+(\.\d+)?"
_POLICY = re.compile(rf"rand(-((m|n|mmax)\d+|(p|mstd){_NUMBER}|inc[01]))*")
Finite = Annotated[float, Field(allow_inf_nan=False)]
_Side = Annotated[int, Field(ge=1, le=4096)]
# A pair is told from a side by its type, so that an error names one rule.
ImageSize = Annotated[
    Annotated[_Side, Tag("side")] | Annotated[tuple[_Side, _Side], Tag("pair")],
    Discriminator(lambda size: "pair" if isinstance(size, list | tuple) else "side"),
]


def height_width(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of pixels of `data.image_size`, a side or (height, width)."""
    if isinstance(image_size, int):
        return image_size, image_size
    return image_size


class AugmentSection(Section):
    """Training augmentation: random resized crop and horizontal flip.

    crop_scale: lowest and highest area of a crop, as fractions of the image.
    flip: mirror half of the images horizontally.
    """

    crop_scale: tuple[float, float] = (0.2, 1.0)
    flip: bool = True

    @model_validator(mode="after")
    def _check(self) -> "AugmentSection":
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(
                "crop_scale must satisfy 0 < low <= high <= 1, "
                f"got {list(self.crop_scale)}."
            )
        return self


class VisionData(DataSection):
    """Images at root, or of a data card that knows where they are.

    card: name of a data card, or path of one; image_folder is for images of your own.
    root: a folder of images or parquet files; None for the card's hub data set.
    label_column: of parquet or hub data, instead of the card's; must exist. Of images in a
        folder, a column of the metadata.csv or labels.csv beside them.
    image_size: pixels of the model input: side of a square, or [height, width].
    channels: 1 is grey, 3 is RGB; other numbers are those of bands in the files, such as
        a TIFF with 4 bands, a TIFF with a grey page per channel, or a .npy (H, W, bands).
    value_range: pixel values [black, white], which become 0 and 255; values outside are
        clipped. null: 0 to 255 of 8 bits, 0 to 65535 of other integers, 0 to 1 of floats.
    background: colour [red, green, blue], 0 to 255, under transparent pixels.
    max_megapixels: larger images are refused.
    held_out: fraction of training images that validate.
    test_share: fraction of the images that are the test split, where the data has none
        of its own; drawn at random, the same for every seed.
    on_bad_sample: stop at an unreadable image, or skip it.
    cache_mib: memory for decoded images, per data loader worker; unused where not all
        images fit.
    """

    card: str = "image_folder"
    root: str | None = None
    label_column: str | None = None
    image_size: ImageSize
    channels: int = Field(default=3, ge=1, le=64)
    augment: AugmentSection | None = AugmentSection()
    on_bad_sample: Literal["stop", "skip"] = "stop"
    cache_mib: int = Field(default=256, ge=0, le=1 << 20)
    test_share: float | None = Field(default=None, gt=0, lt=1)
    value_range: tuple[Finite, Finite] | None = None
    background: tuple[int, int, int] = (255, 255, 255)
    max_megapixels: float = Field(default=179, gt=0, le=1e5)

    @field_validator("image_size")
    @classmethod
    def _as_side(cls, size: int | tuple[int, int]) -> int | tuple[int, int]:
        """[64, 64] means the same as 64."""
        if isinstance(size, tuple) and size[0] == size[1]:
            return size[0]
        return size

    @model_validator(mode="after")
    def _check(self) -> "VisionData":
        if self.value_range is not None and not (
            self.value_range[0] < self.value_range[1]
        ):
            raise ValueError(
                f"value_range must be [black, white], black < white, "
                f"got {list(self.value_range)}."
            )
        if not all(0 <= level <= 255 for level in self.background):
            raise ValueError(
                "background must be levels of red, green and blue, 0 to 255, "
                f"got {list(self.background)}."
            )
        return self


class TuningAugmentSection(AugmentSection):
    """Fine-tuning augmentation: also RandAugment, random erasing, mixup and CutMix.

    mixup, cutmix: alpha of the Beta(alpha, alpha) of mixing weights of pairs of images; 0
        turns it off. With both, each pair has either with probability 0.5.
    rand_augment: RandAugment as timm writes it: rand-m9-mstd0.5-inc1 is magnitude 9 with
        a standard deviation of 0.5. m, n, p, mstd, mmax and inc may be set.
    erase: probability of random erasing, of a rectangle of noise in an image.
    repeats: repeated augmentation: 3 reads each image three times in a row, differently
        augmented. An epoch then reads a third of the images.
    """

    mixup: float = Field(default=0.0, ge=0, le=100)
    cutmix: float = Field(default=0.0, ge=0, le=100)
    rand_augment: str | None = None
    erase: float = Field(default=0.0, ge=0, le=1)
    repeats: int = Field(default=1, ge=1, le=64)

    @field_validator("rand_augment")
    @classmethod
    def _check_policy(cls, policy: str | None) -> str | None:
        if policy is not None and not _POLICY.fullmatch(policy):
            raise ValueError(
                "must be RandAugment as timm writes it, such as "
                f"rand-m9-mstd0.5-inc1, got {policy!r}."
            )
        return policy

    @property
    def mixes(self) -> bool:
        """True if pairs of images are mixed."""
        return self.mixup > 0 or self.cutmix > 0


class VisionTuningData(VisionData):
    """Labelled images for fine-tuning."""

    augment: TuningAugmentSection | None = TuningAugmentSection()

    @model_validator(mode="after")
    def _check_channels(self) -> "VisionTuningData":
        policy = None if self.augment is None else self.augment.rand_augment
        if policy is not None and self.channels not in (1, 3):
            raise ValueError(
                "augment.rand_augment must be null with other channels than 1 or 3, "
                f"got {self.channels} channels. Leave it out."
            )
        return self


class VisionEncoder(ModelSection):
    """A timm model; None keeps the named architecture's own value.

    encoder: name of a timm model.
    patch_size: side of a hidden square in pixels; of a VisionTransformer, also its own
        patch size.
    width, depth, heads: of a VisionTransformer.
    arguments: further arguments of the timm model.
    init_from: pretrained weights: a run, a file, a folder or a hub id.
    """

    encoder: str
    patch_size: int | None = Field(default=None, ge=1, le=1024)
    width: int | None = Field(default=None, ge=4, le=1 << 16)
    depth: int | None = Field(default=None, ge=1, le=512)
    heads: int | None = Field(default=None, ge=1, le=512)
    arguments: dict[str, Any] = Field(default_factory=dict)


class VisionModel(VisionEncoder):
    """An MAE of a plain VisionTransformer, or SimMIM with any other backbone.

    decoder_depth, decoder_width, decoder_heads: of MAE's decoder; default 8, 512, 16.
    normalize_targets: predict pixels standardised within each patch.
    """

    decoder_depth: int | None = Field(default=None, ge=0, le=64)
    decoder_width: int | None = Field(default=None, ge=4, le=1 << 16)
    decoder_heads: int | None = Field(default=None, ge=1, le=512)
    normalize_targets: bool = True

    @property
    def decoder(self) -> dict[str, int]:
        """The decoder's shape, with MAE's defaults for None."""
        shape = {}
        for name, default in _MAE_DECODER.items():
            value = getattr(self, name)
            shape[name] = default if value is None else value
        return shape

    @model_validator(mode="after")
    def _check(self) -> "VisionModel":
        width, heads = self.decoder["decoder_width"], self.decoder["decoder_heads"]
        if width % heads or width % 4:
            raise ValueError(
                f"decoder_width must be divisible by 4 and by decoder_heads = {heads}, "
                f"got {width}."
            )
        return self


_MAE_DECODER = {"decoder_depth": 8, "decoder_width": 512, "decoder_heads": 16}


class VisionClassifier(VisionEncoder):
    """A timm model for a classification head. `init_from: null` trains it from scratch.

    pooling: "mean" of patch tokens or of the feature map, or "cls", the class token.
    drop_path: stochastic depth, rising linearly to this rate at the last block.
    """

    pooling: Literal["mean", "cls"] = "mean"
    drop_path: float = Field(default=0.0, ge=0, lt=1)


VisionPretrainRecipe = PretrainRecipe[VisionData, VisionModel]
VisionFinetuneRecipe = FinetuneRecipe[VisionTuningData, VisionClassifier]

"""Vision's recipe sections."""

from typing import Any, Literal

from pydantic import Field, model_validator

from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.pretrain import PretrainRecipe
from r2mae.schema.recipe import DataSection, ModelSection
from r2mae.schema.section import Section


class AugmentSection(Section):
    """Training-time views: random resized crop (area fraction) and horizontal flip, seeded by position."""

    crop_scale: tuple[float, float] = (0.2, 1.0)
    flip: bool = True

    @model_validator(mode="after")
    def _check(self) -> "AugmentSection":
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(
                f"crop_scale must satisfy 0 < low <= high <= 1, got {list(self.crop_scale)}."
            )
        return self


class VisionData(DataSection):
    """Images of a card, found at root (a folder or parquet files) or on the hub when root is absent.

    label_column: of parquet or hub data, instead of the card's; it must then be there.
    """

    card: str
    root: str | None = None
    label_column: str | None = None
    image_size: int = Field(ge=1, le=4096)
    channels: int = 3
    augment: AugmentSection | None = AugmentSection()
    on_bad_sample: Literal["stop", "skip"] = "stop"
    cache_mib: int = Field(default=256, ge=0, le=1 << 20)

    @model_validator(mode="after")
    def _check(self) -> "VisionData":
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {self.channels}.")
        return self


class TuningAugmentSection(AugmentSection):
    """Views for fine-tuning: also mixed pairs of neighbours in the stream, one way or the other by a fair coin.

    mixup, cutmix: the alpha of the Beta(alpha, alpha) from which shares are drawn; 0 leaves it out.
    """

    mixup: float = Field(default=0.0, ge=0, le=100)
    cutmix: float = Field(default=0.0, ge=0, le=100)

    @property
    def mixes(self) -> bool:
        """True when images are mixed in pairs."""
        return self.mixup > 0 or self.cutmix > 0


class VisionTuningData(VisionData):
    """Labelled images."""

    augment: TuningAugmentSection | None = TuningAugmentSection()


class VisionEncoder(ModelSection):
    """A timm model of a given shape; what is not given stays as the named architecture has it.

    width, depth and heads are a VisionTransformer's; what shapes other architectures goes in arguments, which timm
    gets as they are. patch_size is what is hidden: a VisionTransformer's own patch, a unit of pixels for others.
    """

    encoder: str
    patch_size: int | None = Field(default=None, ge=1, le=1024)
    width: int | None = Field(default=None, ge=4, le=1 << 16)
    depth: int | None = Field(default=None, ge=1, le=512)
    heads: int | None = Field(default=None, ge=1, le=512)
    arguments: dict[str, Any] = Field(default_factory=dict)


class VisionModel(VisionEncoder):
    """A masked autoencoder around a plain VisionTransformer, or masked modelling with any other spatial backbone.

    decoder_*: of the masked autoencoder alone, MAE's 8 blocks of width 512 with 16 heads where not given.
    """

    decoder_depth: int | None = Field(default=None, ge=0, le=64)
    decoder_width: int | None = Field(default=None, ge=4, le=1 << 16)
    decoder_heads: int | None = Field(default=None, ge=1, le=512)
    normalize_targets: bool = True

    @property
    def decoder(self) -> dict[str, int]:
        """decoder_depth, decoder_width and decoder_heads, MAE's where not given."""
        section = {
            "decoder_depth": self.decoder_depth,
            "decoder_width": self.decoder_width,
            "decoder_heads": self.decoder_heads,
        }
        return {
            name: _MAE_DECODER[name] if value is None else value
            for name, value in section.items()
        }

    @model_validator(mode="after")
    def _check(self) -> "VisionModel":
        width, heads = self.decoder["decoder_width"], self.decoder["decoder_heads"]
        if width % heads or width % 4:
            raise ValueError(
                f"decoder_width must be divisible by 4 and by decoder_heads = {heads}, got {width}."
            )
        return self


_MAE_DECODER = {"decoder_depth": 8, "decoder_width": 512, "decoder_heads": 16}


class VisionClassifier(VisionEncoder):
    """A timm model under a classifier's head. `init_from: null` trains it from scratch.

    pooling: "mean" of patch tokens (of the feature map, as timm does, where there are none), or the class token.
    drop_path: stochastic depth, rising linearly to this rate at the last block.
    """

    pooling: Literal["mean", "cls"] = "mean"
    drop_path: float = Field(default=0.0, ge=0, lt=1)


VisionPretrainRecipe = PretrainRecipe[VisionData, VisionModel]
VisionFinetuneRecipe = FinetuneRecipe[VisionTuningData, VisionClassifier]

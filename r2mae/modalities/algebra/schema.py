"""Recipe sections of finite groups."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from r2mae.modalities.algebra.group import check_name
from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.mask import MaskSection
from r2mae.schema.pretrain import PretrainRecipe, PretrainWatchSection
from r2mae.schema.recipe import DataSection, ModelSection


class AlgebraData(DataSection):
    """The triples (g1, g2, g1 * g2) of a finite group.

    group: Z<n> cyclic, D<n> dihedral of 2 n elements, S3 to S5 symmetric, Q8 quaternion,
        products such as Z2xS3, or a .csv file with a Cayley table.
    train_share: share of the triples in the training split; the others are the test
        split. Training triples that `held_out` takes do not train either.
    """

    group: Annotated[str, AfterValidator(check_name)]
    train_share: float = Field(default=0.9, gt=0, lt=1)


class AlgebraModel(ModelSection):
    """A network over the three slots of a triple.

    encoder: "two_layer" adds one-hot inputs of the visible slots, applies an activation
        and a linear output for each hidden slot; "transformer" has a token for each slot.
    width: neurons of the hidden layer, or width of the transformer.
    activation: of the two-layer network: quadratic or ReLU. Transformers have GELU.
    init_scale: standard deviation of the two-layer network's initial weights.
    depth, heads: of the transformer.
    curve_points: number of times in training at which accuracies, spectrum and weight
        norm of all triples are recorded, for `evaluate --task stages`.
    """

    encoder: Literal["two_layer", "transformer"] = "two_layer"
    width: int = Field(default=128, ge=1, le=1 << 14)
    activation: Literal["quadratic", "relu"] = "quadratic"
    init_scale: float = Field(default=0.02, gt=0, le=10)
    depth: int = Field(default=1, ge=1, le=64)
    heads: int = Field(default=4, ge=1, le=256)
    curve_points: int = Field(default=100, ge=2, le=10_000)


class AlgebraMask(MaskSection):
    """Which slots of a triple are hidden.

    slots: "any" hides one or two of the three slots, as the ratio says; "product" always
        hides the product alone, whatever the ratio.
    """

    slots: Literal["any", "product"] = "any"
    pattern: Literal["random"] = "random"


class AlgebraWatch(PretrainWatchSection):
    """Probes are off: the product of a complete triple is one of its inputs."""

    ratios: tuple[float, ...] = Field(default=(0.33,), min_length=1, max_length=16)
    knn: bool = False
    linear_probe: bool = False
    pictures: bool = False


class AlgebraPretrainRecipe(PretrainRecipe[AlgebraData, AlgebraModel]):
    """Triples hide slots."""

    mask: AlgebraMask
    watch: AlgebraWatch = AlgebraWatch()


AlgebraFinetuneRecipe = FinetuneRecipe[AlgebraData, AlgebraModel]

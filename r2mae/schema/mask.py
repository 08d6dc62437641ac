"""The `mask` section: the mask-ratio law in YAML, read as the objects of `r2mae.law`."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    field_validator,
)

from r2mae.law import (
    BetaRatio,
    CosineSchedule,
    FixedRatio,
    LinearSchedule,
    MaskLaw,
    MixtureRatio,
    RatioDistribution,
    StepwiseSchedule,
    TruncatedNormalRatio,
    UniformRatio,
    distribution_to_dict,
    schedule_to_dict,
)
from r2mae.law.mask_law import LossWeight, Scope
from r2mae.law.schedule import Ramp
from r2mae.schema.section import Section


def _only_key(value: Any) -> str | None:
    """The name in `{uniform: {...}}`; None unless there is exactly one key."""
    if isinstance(value, Mapping):
        return str(next(iter(value))) if len(value) == 1 else None
    return type(value).__name__.removeprefix("_").lower()


# One section for each name of a distribution or schedule. Its only key is the name, and
# the value is built by the class in r2mae.law, which checks its own fields.
class _Fixed(Section):
    fixed: FixedRatio


class _Uniform(Section):
    uniform: UniformRatio


class _Beta(Section):
    beta: BetaRatio


class _TruncatedNormal(Section):
    truncated_normal: TruncatedNormalRatio


class _Mixture(Section):
    mixture: "_MixtureFields"

    @field_validator("mixture", mode="after")
    @classmethod
    def _build(cls, fields: "_MixtureFields") -> Any:
        return MixtureRatio(
            tuple(map(_distribution, fields.components)), fields.weights
        )


def _unwrap(tagged: Section) -> Any:
    """The value of a section with one key."""
    return getattr(tagged, next(iter(type(tagged).model_fields)))


Ratio = Annotated[
    Annotated[_Fixed, Tag("fixed")]
    | Annotated[_Uniform, Tag("uniform")]
    | Annotated[_Beta, Tag("beta")]
    | Annotated[_TruncatedNormal, Tag("truncated_normal")]
    | Annotated[_Mixture, Tag("mixture")],
    Discriminator(_only_key),
    AfterValidator(_unwrap),
    PlainSerializer(distribution_to_dict),
]


class _MixtureFields(Section):
    components: tuple[Ratio, ...] = Field(min_length=2, max_length=16)
    weights: tuple[float, ...] = Field(min_length=2, max_length=16)


class _RampFields(Section):
    to: Ratio
    start: float = 0.0
    end: float = 1.0


def _build_ramp(schedule: type[Ramp], fields: _RampFields) -> Any:
    return schedule(_distribution(fields.to), fields.start, fields.end)


class _Linear(Section):
    linear: Annotated[_RampFields, AfterValidator(partial(_build_ramp, LinearSchedule))]


class _Cosine(Section):
    cosine: Annotated[_RampFields, AfterValidator(partial(_build_ramp, CosineSchedule))]


class _StepwiseFields(Section):
    at: tuple[float, ...] = Field(min_length=1, max_length=64)
    to: tuple[Ratio, ...] = Field(min_length=1, max_length=64)


class _Stepwise(Section):
    stepwise: _StepwiseFields

    @field_validator("stepwise", mode="after")
    @classmethod
    def _build(cls, fields: _StepwiseFields) -> Any:
        return StepwiseSchedule(fields.at, tuple(map(_distribution, fields.to)))


def _distribution(value: Any) -> RatioDistribution:
    """A validated `Ratio` with its actual type, which mypy cannot see."""
    distribution: RatioDistribution = value
    return distribution


Schedule = Annotated[
    Annotated[_Linear, Tag("linear")]
    | Annotated[_Cosine, Tag("cosine")]
    | Annotated[_Stepwise, Tag("stepwise")],
    Discriminator(_only_key),
    AfterValidator(_unwrap),
    PlainSerializer(schedule_to_dict),
]


class MaskSection(Section):
    """`mask`: how many positions are masked, and which.

    ratio: distribution of the mask ratio, a fraction in (0, 1): {fixed: {ratio: 0.5}},
        {uniform: {low: 0.1, high: 0.9}}, or beta, truncated_normal or mixture, with the
        fields of their classes in `r2mae.law`.
    levels: number of equally likely ratios that stand for the distribution. Fewer means
        fewer tensor shapes to compile; 8 keeps the mean close.
    scope: "step" for one ratio per step, the same on all devices, which keeps their work
        equal; "sample" for one ratio per sample; "stratified" for samples in groups of
        `levels`, each of which holds every level once: all micro-batches mask the same
        number of tokens, and a step sees all ratios. batch.per_device_samples must be
        a multiple of levels.
    weight: of masked tokens in the loss: "token" for the mean over the masked tokens of a
        step, "sum" for their sum, "inverse_ratio" for 1 / ratio, "sample" for the mean
        over samples. They differ where the ratio does.
    pattern: "random" positions, or "block" for rectangles.
    schedule: change of the distribution during training, one of linear, cosine and
        stepwise, as {linear: {to: {fixed: {ratio: 0.15}}}}; null for none.
    """

    ratio: Ratio
    levels: int = Field(default=8, ge=1, le=64)
    scope: Scope = "step"
    weight: LossWeight = "token"
    pattern: Literal["random", "block"] = "random"
    schedule: Schedule | None = None

    @property
    def law(self) -> MaskLaw:
        """The mask-ratio law that this section describes."""
        schedule: Any = self.schedule
        return MaskLaw(
            _distribution(self.ratio), self.levels, self.scope, schedule, self.weight
        )


# `_MixtureFields` is defined after `_Mixture`, because it holds distributions itself.
_Mixture.model_rebuild()

"""The mask section: a law written as YAML, read into the law object itself."""

from collections.abc import Mapping
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
from r2mae.schema.section import Section


def _only_key(value: Any) -> str | None:
    """The tag of `{uniform: {...}}`, or None when the value has not exactly one key."""
    if isinstance(value, Mapping):
        return str(next(iter(value))) if len(value) == 1 else None
    return type(value).__name__.removeprefix("_").lower()


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


class _Linear(Section):
    linear: _RampFields

    @field_validator("linear", mode="after")
    @classmethod
    def _build(cls, fields: _RampFields) -> Any:
        return LinearSchedule(_distribution(fields.to), fields.start, fields.end)


class _Cosine(Section):
    cosine: _RampFields

    @field_validator("cosine", mode="after")
    @classmethod
    def _build(cls, fields: _RampFields) -> Any:
        return CosineSchedule(_distribution(fields.to), fields.start, fields.end)


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
    """What `Ratio` holds after validation, under the name the type checker knows."""
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
    """Which positions are hidden: how many (the law) and which (the pattern)."""

    ratio: Ratio
    levels: int = Field(default=8, ge=1, le=64)
    scope: Literal["step", "sample"] = "step"
    pattern: Literal["random", "block"] = "random"
    schedule: Schedule | None = None

    @property
    def law(self) -> MaskLaw:
        """The mask-ratio law that this section describes."""
        schedule: Any = self.schedule
        return MaskLaw(_distribution(self.ratio), self.levels, self.scope, schedule)


_Mixture.model_rebuild()

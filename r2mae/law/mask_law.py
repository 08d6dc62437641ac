"""The mask-ratio law as one object, and its form in recipes and checkpoints."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from r2mae.law.checks import check, check_count
from r2mae.law.distribution import (
    BetaRatio,
    FixedRatio,
    Floats,
    RatioDistribution,
    UniformRatio,
    check_distribution,
)
from r2mae.law.mixture import MixtureRatio
from r2mae.law.schedule import (
    CosineSchedule,
    LinearSchedule,
    Schedule,
    StepwiseSchedule,
)
from r2mae.law.truncated_normal import TruncatedNormalRatio

# Names in recipes and checkpoints.
DISTRIBUTIONS: dict[str, type[RatioDistribution]] = {
    "fixed": FixedRatio,
    "uniform": UniformRatio,
    "beta": BetaRatio,
    "truncated_normal": TruncatedNormalRatio,
    "mixture": MixtureRatio,
}
Scope = Literal["step", "sample", "stratified"]
LossWeight = Literal["token", "sum", "inverse_ratio", "sample"]
SCHEDULES: dict[str, type[Schedule]] = {
    "linear": LinearSchedule,
    "cosine": CosineSchedule,
    "stepwise": StepwiseSchedule,
}


@dataclass(frozen=True)
class MaskLaw:
    """How the mask ratio is drawn during training.

    ratio: distribution of the ratio.
    levels: number of equally likely ratios that approximate it, 1 to 64. Each is a
        sequence length that the model may have to compile.
    scope: "step" for one ratio per step, the same on all ranks; "sample" for one ratio
        per sample; "stratified" for samples in groups of `levels` neighbours in the
        stream, of which each gets another level, in random order.
    schedule: change of the distribution over training; None for none.
    weight: of masked tokens in the loss, where ratios differ. "token" is the mean over
        the masked tokens of a step; "sum" is their sum over the expected number, so that
        steps that mask more weigh more; "inverse_ratio" weighs a token by 1 / ratio (the
        evidence bound of LLaDA, Nie et al. 2025); "sample" is the mean over samples of
        each sample's mean.
    """

    ratio: RatioDistribution
    levels: int = 8
    scope: Scope = "step"
    schedule: Schedule | None = None
    weight: LossWeight = "token"

    def __post_init__(self) -> None:
        check_distribution("ratio", self.ratio)
        check_count("levels", self.levels, most=64)
        for name, choices in (("scope", Scope), ("weight", LossWeight)):
            value = getattr(self, name)
            if value not in get_args(choices):
                names = ", ".join(get_args(choices))
                raise ValueError(f"{name} must be one of {names}, got {value}.")
        if self.schedule is not None and not isinstance(self.schedule, Schedule):
            raise ValueError(
                f"schedule must be one of {', '.join(SCHEDULES)} or None, "
                f"got {self.schedule}."
            )

    @property
    def weighs_tokens_equally(self) -> bool:
        """Whether all masked tokens of training weigh alike, so that high ratios weigh more.

        Otherwise all ratios weigh alike: the mean over one step of one ratio, or over one
        sample, gives a token a weight of 1 / ratio.
        """
        if self.weight == "token":
            return self.scope != "step"
        return self.weight == "sum"

    def table(self, progress: float = 0.0) -> Floats:
        """The equally likely ratios (levels,) at a training progress in [0, 1].

        The shape is (1,) where the ratio is fixed.

        Raises: ValueError for a progress outside [0, 1].
        """
        check(
            "progress",
            progress,
            "be in [0, 1]",
            lambda progress: 0 <= progress <= 1,
            is_ratio=False,
        )
        if self.schedule is None:
            return self.ratio.levels(self.levels)
        return self.schedule.table(self.ratio, self.levels, progress)

    def mean(self, progress: float = 0.0) -> float:
        """Mean ratio of the levels at a training progress.

        `ratio.mean_ratio` is that of the continuous distribution.
        """
        return float(self.table(progress).mean())

    def to_dict(self) -> dict[str, Any]:
        """The law as a recipe writes it, ready for JSON."""
        return {
            "ratio": distribution_to_dict(self.ratio),
            "levels": self.levels,
            "scope": self.scope,
            "schedule": schedule_to_dict(self.schedule),
            "weight": self.weight,
        }


def distribution_to_dict(ratio: RatioDistribution) -> dict[str, Any]:
    """{name: fields}, as in a recipe."""
    return _named(ratio, DISTRIBUTIONS)


def schedule_to_dict(schedule: Schedule | None) -> dict[str, Any] | None:
    """{name: fields}, as in a recipe; None stays None."""
    return None if schedule is None else _named(schedule, SCHEDULES)


def _named(value: Any, types: dict[str, Any]) -> dict[str, Any]:
    name = next(name for name, cls in types.items() if type(value) is cls)
    entries = {
        field.name: _plain(getattr(value, field.name)) for field in fields(value)
    }
    return {name: entries}


# Numbers become float, so that 1 and 1.0 give the same checkpoint.
def _plain(value: Any) -> Any:
    if isinstance(value, RatioDistribution):
        return distribution_to_dict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return float(value)

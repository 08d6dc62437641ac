"""The mask-ratio law as one object, and its words in recipes and checkpoints."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from r2mae.law.checks import check, check_count
from r2mae.law.distribution import (
    BetaRatio,
    FixedRatio,
    Floats,
    MixtureRatio,
    RatioDistribution,
    TruncatedNormalRatio,
    UniformRatio,
    check_distribution,
)
from r2mae.law.schedule import (
    CosineSchedule,
    LinearSchedule,
    Schedule,
    StepwiseSchedule,
)

# The tags that recipes and checkpoints use.
DISTRIBUTIONS: dict[str, type[RatioDistribution]] = {
    "fixed": FixedRatio,
    "uniform": UniformRatio,
    "beta": BetaRatio,
    "truncated_normal": TruncatedNormalRatio,
    "mixture": MixtureRatio,
}
SCHEDULES: dict[str, type[Schedule]] = {
    "linear": LinearSchedule,
    "cosine": CosineSchedule,
    "stepwise": StepwiseSchedule,
}


@dataclass(frozen=True)
class MaskLaw:
    """How much is hidden: a distribution, who shares a draw (scope), and how it moves over training.

    levels: equally likely ratios that train, 1 to 64; bounds the number of lengths that are ever compiled.
    scope: "step", one draw a step and the same on all ranks, or "sample".
    """

    ratio: RatioDistribution
    levels: int = 8
    scope: Literal["step", "sample"] = "step"
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        check_distribution("ratio", self.ratio)
        check_count("levels", self.levels, most=64)
        if self.scope not in ("step", "sample"):
            raise ValueError(f"scope must be step or sample, got {self.scope}.")
        if self.schedule is not None and not isinstance(self.schedule, Schedule):
            raise ValueError(
                f"schedule must be one of {', '.join(SCHEDULES)} or None, got {self.schedule}."
            )

    def table(self, progress: float = 0.0) -> Floats:
        """The equally likely ratios at a training progress in [0, 1].

        Shape (levels,), or (1,) where only fixed ratios matter. Raises: ValueError for other progress.
        """
        check(
            "progress",
            progress,
            "be in [0, 1]",
            lambda share: 0 <= share <= 1,
            is_ratio=False,
        )
        if self.schedule is None:
            return self.ratio.levels(self.levels)
        return self.schedule.table(self.ratio, self.levels, progress)

    def mean(self, progress: float = 0.0) -> float:
        """Mean of the table that trains at a progress; `ratio.mean_ratio` is that of the continuous law."""
        return float(self.table(progress).mean())

    def to_dict(self) -> dict[str, Any]:
        """The law in a recipe's words, ready for JSON."""
        return {
            "ratio": distribution_to_dict(self.ratio),
            "levels": self.levels,
            "scope": self.scope,
            "schedule": schedule_to_dict(self.schedule),
        }


def distribution_to_dict(ratio: RatioDistribution) -> dict[str, Any]:
    """{tag: fields}, as in a recipe."""
    return _tagged(ratio, DISTRIBUTIONS)


def schedule_to_dict(schedule: Schedule | None) -> dict[str, Any] | None:
    """{tag: fields}, as in a recipe; None stays None."""
    return None if schedule is None else _tagged(schedule, SCHEDULES)


def _tagged(value: Any, tags: dict[str, Any]) -> dict[str, Any]:
    tag = next(name for name, kind in tags.items() if type(value) is kind)
    return {
        tag: {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    }


def _plain(value: Any) -> Any:
    if isinstance(value, RatioDistribution):
        return distribution_to_dict(value)
    return (
        [_plain(item) for item in value] if isinstance(value, tuple) else float(value)
    )

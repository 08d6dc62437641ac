import pytest

from r2mae.errors import InputError
from r2mae.law import (
    BetaRatio,
    CosineSchedule,
    FixedRatio,
    LinearSchedule,
    MaskLaw,
    MixtureRatio,
    StepwiseSchedule,
    TruncatedNormalRatio,
    UniformRatio,
)
from r2mae.schema.mask import MaskSection
from r2mae.schema.section import validate

HALF = {"fixed": {"ratio": 0.5}}
RATIOS = [
    (HALF, FixedRatio(0.5)),
    ({"uniform": {"low": 0.6, "high": 0.9}}, UniformRatio(0.6, 0.9)),
    ({"uniform": {"low": 0, "high": 1}}, UniformRatio(0.0, 1.0)),
    ({"beta": {"a": 2, "b": 5}}, BetaRatio(2.0, 5.0)),
    (
        {"beta": {"a": 0.5, "b": 0.25, "low": 0.1, "high": 0.8}},
        BetaRatio(0.5, 0.25, 0.1, 0.8),
    ),
    (
        {"truncated_normal": {"mean": 0.55, "sd": 0.25, "low": 0.5, "high": 1}},
        TruncatedNormalRatio(0.55, 0.25, 0.5, 1.0),
    ),
    (
        {
            "mixture": {
                "components": [HALF, {"uniform": {"low": 0.1, "high": 0.2}}],
                "weights": [0.25, 0.75],
            }
        },
        MixtureRatio((FixedRatio(0.5), UniformRatio(0.1, 0.2)), (0.25, 0.75)),
    ),
    (
        {
            "mixture": {
                "components": [
                    {"mixture": {"components": [HALF, HALF], "weights": [0.5, 0.5]}},
                    HALF,
                ],
                "weights": [0.5, 0.5],
            }
        },
        MixtureRatio(
            (
                MixtureRatio((FixedRatio(0.5), FixedRatio(0.5)), (0.5, 0.5)),
                FixedRatio(0.5),
            ),
            (0.5, 0.5),
        ),
    ),
]
SCHEDULES = [
    (None, None),
    ({"linear": {"to": HALF}}, LinearSchedule(FixedRatio(0.5))),
    (
        {"cosine": {"to": HALF, "start": 0.25, "end": 0.75}},
        CosineSchedule(FixedRatio(0.5), 0.25, 0.75),
    ),
    (
        {
            "stepwise": {
                "at": [0.25, 0.5],
                "to": [HALF, {"uniform": {"low": 0.1, "high": 0.2}}],
            }
        },
        StepwiseSchedule((0.25, 0.5), (FixedRatio(0.5), UniformRatio(0.1, 0.2))),
    ),
]


@pytest.mark.parametrize(("document", "ratio"), RATIOS)
@pytest.mark.parametrize(("schedule_document", "schedule"), SCHEDULES)
def test_section_is_the_law_and_round_trips(
    document, ratio, schedule_document, schedule
):
    given = {
        "ratio": document,
        "levels": 5,
        "scope": "sample",
        "schedule": schedule_document,
        "weight": "sum",
    }
    section = validate(MaskSection, given, "recipe.yaml")
    assert section.law == MaskLaw(ratio, 5, "sample", schedule, "sum")
    resolved = section.model_dump(mode="json")
    assert validate(MaskSection, resolved, "recipe.yaml") == section
    assert (
        validate(MaskSection, resolved, "recipe.yaml").model_dump(mode="json")
        == resolved
    )


def test_defaults():
    section = validate(MaskSection, {"ratio": HALF}, "recipe.yaml")
    assert section.law == MaskLaw(FixedRatio(0.5), 8, "step", None)
    assert section.pattern == "random"


def mixed(*components, weights=(0.5, 0.5)):
    return {
        "ratio": {"mixture": {"components": list(components), "weights": list(weights)}}
    }


def scheduled(**schedule):
    return {"ratio": HALF, "schedule": schedule}


TAGS = "fixed, uniform, beta, truncated_normal, mixture"
FRACTION = "Ratios are fractions; did you mean"
BAD = [
    ({}, "ratio must be given, got nothing."),
    ({"ratio": 0.75}, f"ratio must be a mapping with one of {TAGS}, got 0.75. Known: {TAGS}."),
    ({"ratio": None}, f"ratio must be a mapping with one of {TAGS}, got null."),
    ({"ratio": "uniform"}, f'ratio must be a mapping with one of {TAGS}, got "uniform".'),
    ({"ratio": {}}, "ratio must be a mapping with one key, got {}."),
    ({"ratio": HALF | {"beta": {}}}, "ratio must be a mapping with one key, got {"),
    ({"ratio": {"unifrm": {}}}, f'ratio must be a mapping with one of {TAGS}, got {{"unifrm": {{}}}}. Did you mean un'),
    ({"ratio": {"fixed": 0.75}}, "ratio.fixed must be a section of keys, got 0.75."),
    ({"ratio": {"fixed": {"ratio": 75}}}, f"ratio.fixed.ratio must be in (0, 1), got 75. {FRACTION} 0.75?"),
    ({"ratio": {"fixed": {"ratio": 0}}}, "ratio.fixed.ratio must be in (0, 1), got 0."),
    ({"ratio": {"fixed": {"ratio": True}}}, "ratio.fixed.ratio must be a number, got true."),
    ({"ratio": {"fixed": {"ratio": "0.5"}}}, 'ratio.fixed.ratio must be a number, got "0.5".'),
    ({"ratio": {"fixed": {}}}, "ratio.fixed.ratio must be given, got nothing."),
    ({"ratio": {"uniform": {"low": 0.9, "high": 0.6}}}, "ratio.uniform.high must be in (low, 1"),
    ({"ratio": {"uniform": {"low": 0.6, "high": 0.6}}}, "ratio.uniform.high must be in (low, 1"),
    ({"ratio": {"uniform": {"low": 0.6, "high": 90}}}, f"got 90. {FRACTION} 0.90?"),
    ({"ratio": {"uniform": {"low": -0.1, "high": 0.9}}}, "ratio.uniform.low must be in [0, 1), got -0.1."),
    ({"ratio": {"uniform": {"low": 0.1, "hgh": 0.9}}}, "ratio.uniform.hgh must be a key of ratio.uniform. Did you"),
    ({"ratio": {"beta": {"a": 0, "b": 1}}}, "ratio.beta.a must be in [0.001, 1000], got 0."),
    ({"ratio": {"truncated_normal": {"mean": 0.5}}}, "ratio.truncated_normal.sd must be given, got nothing."),
    (mixed(HALF), "ratio.mixture.components must hold at least 2 items, got ["),
    (mixed(HALF, HALF, weights=(0.5, 0.6)), "ratio.mixture.weights must be positive and sum to 1, got [0.5, 0.6]."),
    (mixed(HALF, HALF, weights=(2, -1)), "ratio.mixture.weights must be positive and sum to 1, got [2.0, -1.0]."),
    (mixed(HALF, HALF, weights=(0.2, 0.3, 0.5)), "ratio.mixture.weights must be 2, one per component, got 3."),
    (mixed(HALF, {"unifrm": {}}), f"ratio.mixture.components.1 must be a mapping with one of {TAGS}, got"),
    (mixed(HALF, {"fixed": {"ratio": 50}}), "ratio.mixture.components.1.fixed.ratio must be in (0, 1), got 50. Ratios"),
    (mixed(HALF, {"uniform": {"lw": 0}}), "ratio.mixture.components.1.uniform.lw must be a key of ratio.mixture"),
    (mixed(HALF, {"uniform": {"lw": 0}}), "Did you mean low?"),
    ({"ratio": HALF, "levels": 65}, "levels must be at most 64, got 65."),
    ({"ratio": HALF, "levels": 0}, "levels must be at least 1, got 0."),
    ({"ratio": HALF, "levels": 8.0}, "levels must be a whole number, got 8.0."),
    ({"ratio": HALF, "levles": 8}, "levles must be a key of the document. Did you mean levels?"),
    ({"ratio": HALF, "pattern": "blok"}, "pattern must be 'random' or 'block', got \"blok\". Did you mean block?"),
    ({"ratio": HALF, "scope": "batch"}, "scope must be 'step', 'sample' or 'stratified', got \"batch\"."),
    (scheduled(linaer={"to": HALF}), "schedule must be a mapping with one of linear, cosine, stepwise, got"),
    (scheduled(linaer={"to": HALF}), "Did you mean linear?"),
    (scheduled(linear={"too": HALF}), "schedule.linear.too must be a key of schedule.linear. Did you mean to?"),
    (scheduled(linear={"to": {"fixed": {"ratio": 60}}}), "linear.to.fixed.ratio must be in (0, 1), got 60. Ratios"),
    (scheduled(cosine={"to": HALF, "start": 1}), "schedule.cosine.start must be in [0, 1), got 1"),
    (scheduled(linear={"to": HALF, "start": 0.5, "end": 0.5}), "schedule.linear.end must be in (start, 1], got 0.5."),
    (scheduled(stepwise={"at": [0.5, 0.2], "to": [HALF, HALF]}), "schedule.stepwise.at must rise strictly within"),
    (scheduled(stepwise={"at": [0.5], "to": [HALF, HALF]}), "schedule.stepwise.to must be 1 laws, one per point of at"),
    (scheduled(stepwise={"at": [], "to": []}), "schedule.stepwise.at must hold at least 1 items, got []."),
]  # fmt: skip


@pytest.mark.parametrize(("document", "words"), BAD)
def test_bad_sections(document, words):
    with pytest.raises(InputError) as caught:
        validate(MaskSection, document, "recipe.yaml")
    message = str(caught.value)
    assert message.startswith("recipe.yaml: ")
    assert words in message
    assert len(message.splitlines()) == 1

"""Whether a mixed fleet pays: the source's criteria with figures, and what decides against it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.recommend import verdict
from heterofleet.recommend.loadprofile import ClassProfile, LoadProfile
from heterofleet.recommend.verdict import Mark, Money, Quality


def profile(
    steps: float = 5, tokens: float = 500, escalation: float | None = None, *, batch: bool = False
) -> LoadProfile:
    plan = ClassProfile(1.0, 2.0, 1000, tokens)
    act = ClassProfile(steps, 2 * steps, 1000, tokens)
    known = escalation is not None
    return LoadProfile(2.0, plan, act, 2 + 2 * steps, escalation if known else 0.05, known, batch)  # type: ignore[arg-type]  # it is a number where it is known


USUAL = Money(mixed_gpu_hours=400, all_large_gpu_hours=1000, relative_cost=8.5)


def marks(judged: verdict.Verdict) -> dict[str, Mark]:
    return {each.topic: each.mark for each in judged.reasons}


def test_many_steps_long_answers_batches_and_money_speak_for_it() -> None:
    judged = verdict.judge(profile(10, 1500, 0.02, batch=True), USUAL, Quality.USUAL)
    assert judged.pays
    assert marks(judged) == {
        "saving": Mark.FOR,
        "steps": Mark.FOR,
        "escalation": Mark.FOR,
        "answers": Mark.FOR,
        "use": Mark.FOR,
        "quality": Mark.NEITHER,
    }
    assert judged.formula_saving == pytest.approx(7.5 * 10 / (8.5 * 11))
    assert judged.sentence == "A mixed fleet pays: it takes 60% fewer GPU-hours than large instances alone."


def test_few_steps_speak_against_it_without_deciding() -> None:
    judged = verdict.judge(profile(2), USUAL, Quality.USUAL)
    assert judged.pays
    assert marks(judged)["steps"] is Mark.AGAINST


@pytest.mark.parametrize(
    ("load", "money", "quality", "sentence"),
    [
        (profile(0), USUAL, Quality.USUAL, "nothing is left to execute"),
        (profile(5), USUAL, Quality.STRICT, "not for answers that must be alike"),
        (profile(5, escalation=0.9), USUAL, Quality.USUAL, "90% of steps escalate, and from 88% on"),
        (profile(5), Money(980, 1000, 8.5), Quality.USUAL, "it saves 2%"),
        (profile(5), Money(1200, 1000, 8.5), Quality.USUAL, "it saves -20%"),
        (
            profile(5),
            Money(400, 1000, 0.9),
            Quality.USUAL,
            "never pays with these models: work of the large one takes no more GPUs",
        ),
    ],
)
def test_what_decides_against_it_is_said(load: LoadProfile, money: Money, quality: Quality, sentence: str) -> None:
    judged = verdict.judge(load, money, quality)
    assert not judged.pays
    assert sentence in judged.sentence


def test_a_load_without_plans_needs_the_small_model_alone() -> None:
    nobody = LoadProfile(1, ClassProfile(0, 0, 0, 0), ClassProfile(1, 1, 100, 10), 1, 0.05, False, False)
    judged = verdict.judge(nobody, USUAL, Quality.USUAL)
    assert (judged.pays, judged.formula_saving) == (False, None)
    assert "the small model alone serves this load" in judged.sentence


def test_a_load_that_large_instances_do_not_hold_pays() -> None:
    judged = verdict.judge(profile(), Money(400, None, 8.5), Quality.USUAL)
    assert judged.pays
    assert "do not hold this load at all" in judged.sentence


@given(st.floats(0, 1), st.floats(0.1, 100), st.floats(0.1, 100))
def test_it_never_pays_from_the_break_even_on(escalation: float, cost: float, steps: float) -> None:
    judged = verdict.judge(profile(steps, escalation=escalation), Money(400, 1000, cost), Quality.USUAL)
    assert judged.pays is (escalation < judged.break_even_escalation)

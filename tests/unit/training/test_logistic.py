"""Logistic regression: it finds what made the labels, and does not run away where they tell nothing."""

import numpy as np
import pytest

from heterofleet.training import logistic

FEATURES = np.random.default_rng(7).normal(size=(4000, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 1.0]
TRUE = logistic.Model(np.array([1.0, -0.2, 5.0]), -4.0)
LABELS = (np.random.default_rng(8).random(4000) < TRUE.scores(FEATURES)).astype(float)


def test_the_weights_that_made_the_labels_are_found() -> None:
    found = logistic.fit(FEATURES, LABELS, 0.0)
    assert found.weights == pytest.approx(TRUE.weights, rel=0.15)
    assert found.bias == pytest.approx(TRUE.bias, rel=0.15)


def test_scores_have_the_mean_of_the_labels_whatever_the_penalty() -> None:
    means = [logistic.fit(FEATURES, LABELS, penalty).scores(FEATURES).mean() for penalty in (0.0, 0.1, 10.0)]
    assert means == pytest.approx([LABELS.mean()] * 3, abs=1e-5)


def test_the_units_of_a_feature_do_not_matter() -> None:
    scale = np.array([1e3, 1e-3, 7.0])
    scores = logistic.fit(FEATURES * scale + 3, LABELS, 0.1).scores(FEATURES * scale + 3)
    assert scores == pytest.approx(logistic.fit(FEATURES, LABELS, 0.1).scores(FEATURES), abs=1e-8)


def test_a_share_weighs_like_that_many_labels() -> None:
    twice = np.concatenate([FEATURES, FEATURES])
    both = np.concatenate([LABELS, np.ones_like(LABELS)])
    assert logistic.fit(FEATURES, (LABELS + 1) / 2, 0.1).weights == pytest.approx(
        logistic.fit(twice, both, 0.1).weights, abs=1e-8
    )


def test_a_feature_that_never_changes_weighs_nothing() -> None:
    found = logistic.fit(np.column_stack([FEATURES, np.full(4000, 3.0)]), LABELS, 0.1)
    assert found.weights[3] == 0.0
    assert found.weights[:3] == pytest.approx(logistic.fit(FEATURES, LABELS, 0.1).weights)


def test_labels_of_one_kind_give_a_finite_model() -> None:
    found = logistic.fit(FEATURES, np.ones(4000), 0.1)
    assert np.isfinite([*found.weights, found.bias]).all()
    assert found.scores(FEATURES).min() > 0.99

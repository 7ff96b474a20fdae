"""Folds: nothing is scored by what has seen it."""

import numpy as np

from heterofleet.training import folds


def test_random_parts_hold_every_row_once_and_depend_on_the_seed_alone() -> None:
    parts = folds.random(23, 5, seed=3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(23))
    assert [len(part) for part in parts] == [5, 5, 5, 4, 4]
    assert [part.tolist() for part in folds.random(23, 5, seed=3)] == [part.tolist() for part in parts]
    assert [part.tolist() for part in folds.random(23, 5, seed=4)] != [part.tolist() for part in parts]


def test_every_task_is_a_part_and_one_alone_cannot_be_left_out() -> None:
    assert [part.tolist() for part in folds.by_task(("b", "a", "b", "c"))] == [[1], [0, 2], [3]]
    assert folds.by_task(("a", "a")) == ()
    assert folds.by_task(()) == ()


def test_a_row_is_scored_by_what_was_learned_of_all_other_parts() -> None:
    learned: list[tuple[list[int], list[int]]] = []

    def learn(rows: folds.Rows, others: folds.Rows) -> np.ndarray:
        learned.append((rows.tolist(), others.tolist()))
        return others * 10.0

    scores = folds.held_out(folds.by_task(("b", "a", "b", "c")), learn)
    assert learned == [([0, 2, 3], [1]), ([1, 3], [0, 2]), ([0, 1, 2], [3])]
    assert scores.tolist() == [0.0, 10.0, 20.0, 30.0]

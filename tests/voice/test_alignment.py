"""Known phones are found where they sound."""

import numpy as np
import pytest

from training.alignment.viterbi import align


def heard(classes: list[int], confidence: float = 0.6) -> np.ndarray:
    """Log probabilities [rows, 4] of a listener who is right."""
    probability = np.full((len(classes), 4), (1.0 - confidence) / 3)
    probability[np.arange(len(classes)), classes] = confidence
    return np.log(probability)


def test_phones_lie_where_they_are_heard():
    sounds = [0, 0, 1, 1, 1, 2, 3, 3, 0]
    assert align(heard(sounds), np.array([0, 1, 2, 3, 0])).tolist() == [0, 0, 1, 1, 1, 2, 3, 3, 4]


def test_a_row_that_was_misheard_goes_to_its_neighbors():
    misheard = [0, 1, 1, 3, 1, 2, 2]
    assert align(heard(misheard), np.array([0, 1, 2])).tolist() == [0, 1, 1, 1, 1, 2, 2]


def test_a_phone_that_was_not_heard_keeps_one_row():
    path = align(heard([0, 0, 2, 2]), np.array([0, 1, 2]))
    assert sorted(set(path.tolist())) == [0, 1, 2]
    assert path[-1] == 2 and np.all(np.diff(path) >= 0)


@pytest.mark.parametrize(
    ("sounds", "path"),
    [
        ([0, 1, 0, 2, 0], [0, 1, 2, 3, 4]),
        ([0, 1, 1, 2, 0], [0, 1, 1, 3, 4]),
        ([1, 1, 2, 2], [1, 1, 3, 3]),
        ([1, 1, 0, 0, 2], [1, 1, 2, 2, 3]),
    ],
)
def test_pauses_are_there_only_where_they_are_heard(sounds, path):
    classes = np.array([0, 1, 0, 2, 0])
    assert align(heard(sounds), classes, classes == 0).tolist() == path


def test_more_phones_than_rows_are_refused():
    classes = np.array([0, 1, 2, 3, 0])
    with pytest.raises(ValueError, match="5 phones for 2 rows"):
        align(heard([0, 1]), classes)
    with pytest.raises(ValueError, match="3 phones for 2 rows"):
        align(heard([0, 1]), classes, classes == 0)
    with pytest.raises(ValueError, match="two in succession"):
        align(heard([0, 1, 2]), np.array([0, 0, 1]), np.array([True, True, False]))

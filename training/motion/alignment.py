"""Forced alignment: where phones that are known to be said lie in the sound, by the audio encoder's own judgement.

Rabiner, "A tutorial on hidden Markov models and selected applications in speech recognition", Proc. IEEE 77(2), 1989:
the Viterbi path through the phones from left to right, every phone at least one row long.
"""

import numpy as np


def align(log_probability: np.ndarray, phones: np.ndarray) -> np.ndarray:
    """The likeliest place of every phone.

    Args:
        log_probability: float [rows, classes] of the phone of each row.
        phones: int [phones], classes in the order they are said, the first at the first row, the last at the last.

    Returns:
        int [rows], index into `phones`, never falling, rising by at most 1 from row to row.

    Raises:
        ValueError: if there are more phones than rows.
    """
    rows, count = len(log_probability), len(phones)
    if count > rows:
        raise ValueError(f"each phone needs a row, got {count} phones for {rows} rows")
    emission = log_probability[:, phones]
    best = np.full(count, -np.inf)
    best[0] = emission[0, 0]
    moved = np.zeros((rows, count), bool)
    for row in range(1, rows):
        from_before = np.concatenate([[-np.inf], best[:-1]])
        moved[row] = from_before > best
        best = np.maximum(best, from_before) + emission[row]
    path, place = np.zeros(rows, int), count - 1
    for row in range(rows - 1, -1, -1):
        path[row] = place
        place -= int(moved[row, place])
    return path

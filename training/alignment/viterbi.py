"""Where phones that are known to be said lie in the sound, by what is heard in every row.

Rabiner, "A tutorial on hidden Markov models and selected applications in speech recognition", Proc. IEEE 77(2), 1989:
the Viterbi path through the phones from left to right, every phone at least one row long, pauses as they are heard.
"""

import numpy as np


def align(log_likelihood: np.ndarray, classes: np.ndarray, optional: np.ndarray | None = None) -> np.ndarray:
    """The likeliest place of every phone.

    Args:
        log_likelihood: float [rows, classes] of each row.
        classes: int [phones], in the order they are said.
        optional: bool [phones], those that need not be said, such as pauses; no two of them in succession. None: all
            are said.

    Returns:
        int [rows], index into `classes`, never falling, passing over optional ones only.

    Raises:
        ValueError: if there are more phones than rows, or two optional ones in succession.
    """
    rows, count = len(log_likelihood), len(classes)
    optional = np.zeros(count, bool) if optional is None else np.asarray(optional, bool)
    if count - optional.sum() > rows:
        raise ValueError(f"each phone needs a row, got {count - optional.sum()} phones for {rows} rows")
    if (optional[1:] & optional[:-1]).any():
        raise ValueError("an optional phone must lie between others, got two in succession: join them")
    emission = log_likelihood[:, classes]
    best = np.full(count, -np.inf)
    best[: 2 if optional[0] else 1] = emission[0, : 2 if optional[0] else 1]
    steps = np.zeros((rows, count), np.int8)
    # By row: from the place itself, from the one before, and from the one before an optional one.
    arrivals = np.full((3, count), -np.inf)
    for row in range(1, rows):
        arrivals[0] = best
        arrivals[1, 1:] = best[:-1]
        arrivals[2, 2:] = np.where(optional[1:-1], best[:-2], -np.inf)
        steps[row] = arrivals.argmax(axis=0)
        best = arrivals.max(axis=0) + emission[row]
    place = count - 1
    if optional[-1] and count > 1 and best[-2] > best[-1]:
        place -= 1
    path = np.zeros(rows, int)
    for row in range(rows - 1, -1, -1):
        path[row] = place
        place -= int(steps[row, place])
    return path

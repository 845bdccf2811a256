"""Finds the known word that is closest to an unknown one, for "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable

#: Words shorter than this must be closer to be taken for each other.
SHORT = 5
#: Words farther from each other than this are not taken for each other.
FARTHEST = 2
#: Nothing known is longer, and comparing takes time by the product of the lengths.
LONGEST = 64


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, or None."""
    if len(word) > LONGEST:
        return None
    folded = _fold(word)
    ranked = sorted((_steps(word, other), other) for other in known)
    for steps, other in ranked:
        near = 1 if min(len(word), len(other)) < SHORT else FARTHEST
        prefix = len(word) >= SHORT and (other.startswith(word) or _is_longer(word, other))
        if steps <= near or _fold(other) == folded or prefix:
            return other
    return None


def _steps(word: str, other: str) -> int:
    """Their distance; words whose lengths differ too much are not compared, that takes time."""
    far = abs(len(word) - len(other)) > FARTHEST
    return FARTHEST + 1 if far else distance(word.lower(), other.lower())


def distance(a: str, b: str) -> int:
    """Insertions, deletions, replacements and swaps of neighbours from a to b (Damerau 1964)."""
    two_back: list[int] = []
    one_back = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            best = min(one_back[j] + 1, row[j - 1] + 1, one_back[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, two_back[j - 2] + 1)
            row.append(best)
        two_back, one_back = one_back, row
    return one_back[-1]


def _is_longer(word: str, other: str) -> bool:
    """Whether the word is the other one and more of the same: a compound has another meaning."""
    return word.startswith(other) and word[len(other) : len(other) + 1] not in ("_", "-")


def _fold(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")

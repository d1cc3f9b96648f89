"""Make thousands of similar strings small: fragments that recur become one private-use character each."""

from __future__ import annotations

import collections
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The private-use characters that stand for fragments; the page's script expands the same range.
FIRST, LAST = 0xE000, 0xF8FF
_PRIVATE = re.compile(f"[{chr(FIRST)}-{chr(LAST)}]")
# Numbers differ from row to row, what stands between them does not.
_PIECES = re.compile(r"[0-9]+|[^0-9]+")
_SHORTEST, _SELDOM = 5, 4


def pack(columns: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Return the fragments and the columns in which each fragment's character stands for it.

    Private-use characters of the input, which nobody can read, become U+FFFD first, so that no text can name a fragment.

    >>> words, packed = pack([["<td>12 us</td>"] * 5])
    >>> words, [ord(char) - FIRST for char in packed[0][0] if ord(char) >= FIRST]
    ([' us</td>'], [0])
    >>> unpack(words, packed[0][4])
    '<td>12 us</td>'
    """
    pieces = [[_PIECES.findall(_PRIVATE.sub("\ufffd", text)) for text in column] for column in columns]
    counted = collections.Counter(piece for column in pieces for text in column for piece in text)
    worth = [(len(piece) * count, piece) for piece, count in counted.items() if len(piece) >= _SHORTEST and count >= _SELDOM]
    words = [piece for _, piece in sorted(worth, reverse=True)[: LAST - FIRST + 1]]
    codes = {piece: chr(FIRST + place) for place, piece in enumerate(words)}
    return words, [["".join(codes.get(piece, piece) for piece in text) for text in column] for column in pieces]


def unpack(words: Sequence[str], text: str) -> str:
    """Expand a packed string, as the page's script does."""
    return _PRIVATE.sub(lambda found: words[ord(found[0]) - FIRST], text)

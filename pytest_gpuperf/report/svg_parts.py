"""What several drawings are made of: texts that fit, hatching. Pure functions; colours come from the page's classes, never from here."""

from __future__ import annotations

from html import escape

from pytest_gpuperf.format import shorten

#: Width of a character at the drawings' 11 pixels, on the wide side.
CHARACTER = 6.8


def text(x: float, y: float, words: str, name: str = "", anchor: str = "") -> str:
    """Return a text that begins, or with an anchor ends or is centred, at a place.

    >>> text(4, 10.04, "a<b", "tick", "end")
    '<text class="tick" x="4" y="10" text-anchor="end">a&lt;b</text>'
    """
    named = f' class="{name}"' if name else ""
    anchored = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text{named} x="{_short(x)}" y="{_short(y)}"{anchored}>{escape(words)}</text>'


def fitted(words: str, width: float) -> str:
    """Return as much of a text as a width holds; nothing where that would be three characters or less of a longer one.

    >>> fitted("saxpy", 100), fitted("vectorized_elementwise", 60), fitted("saxpy", 12)
    ('saxpy', 'vectori…', '')
    """
    room = int(width / CHARACTER)
    return words if len(words) <= room else shorten(words, room) if room > 4 else ""


def hatched(x: float, y: float, width: float, height: float) -> str:
    """Return the path of a frame with diagonal lines in it: what would stand there is not known.

    >>> hatched(0, 0, 12, 6)
    'M0 0h12v6h-12zM6 0l-6 6M12 0l-6 6'
    """
    lines = []
    step = height
    at = x + step
    while at <= x + width:
        lines.append(f"M{_short(at)} {_short(y)}l-{_short(height)} {_short(height)}")
        at += step
    return f"M{_short(x)} {_short(y)}h{_short(width)}v{_short(height)}h-{_short(width)}z" + "".join(lines)


def opened(name: str, width: float, height: float, said: str) -> str:
    """Return the start tag of a drawing, with what it shows in words."""
    return f'<svg class="dist {name}" viewBox="0 0 {_short(width)} {_short(height)}" role="img" aria-label="{escape(said, quote=True)}">'


def _short(number: float) -> str:
    return f"{round(number, 1):g}"

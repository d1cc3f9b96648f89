"""How numbers and foreign text are written: four significant digits, SI units, nothing invisible."""

from __future__ import annotations

import dataclasses
import math
import unicodedata


@dataclasses.dataclass(frozen=True, slots=True)
class Unit:
    """One row of UNITS: a unit of the run file and the prefixed forms that people read, smallest first."""

    name: str
    forms: tuple[tuple[float, str], ...]


UNITS: tuple[Unit, ...] = (
    Unit("s", ((1e-9, "ns"), (1e-6, "us"), (1e-3, "ms"), (1.0, "s"))),
    Unit("B/s", ((1.0, "B/s"), (1e3, "kB/s"), (1e6, "MB/s"), (1e9, "GB/s"), (1e12, "TB/s"))),
    Unit("B", ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"))),
    Unit("FLOP/s", ((1e6, "MFLOP/s"), (1e9, "GFLOP/s"), (1e12, "TFLOP/s"), (1e15, "PFLOP/s"))),
    Unit("FLOP", ((1.0, "FLOP"), (1e3, "kFLOP"), (1e6, "MFLOP"), (1e9, "GFLOP"), (1e12, "TFLOP"))),
    Unit("Hz", ((1.0, "Hz"), (1e3, "kHz"), (1e6, "MHz"), (1e9, "GHz"))),
)
_FORMS = {row.name: row.forms for row in UNITS}
_DIGITS = 4


def digits(number: float) -> str:
    """Write a plain number with four significant digits; more only where the integer part has more.

    >>> digits(13.4249), digits(1.3), digits(0.0001234567), digits(1048576.0), digits(0.0)
    ('13.42', '1.300', '0.0001235', '1,048,576', '0')
    """
    if not math.isfinite(number):
        return {math.inf: "inf", -math.inf: "-inf"}.get(number, "nan")
    if number == 0:
        return "0"
    rounded = _four(number)
    places = _DIGITS - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{min(places, 12)}f}" if places > 0 else f"{number:,.0f}"


def format_quantity(value: float, unit: str) -> str:
    """Write a value in SI units (s, B, B/s, ...) with its prefix; other units follow the number as they are.

    >>> format_quantity(1.342e-5, "s"), format_quantity(3.912e12, "B/s"), format_quantity(9.99996e-4, "s")
    ('13.42 us', '3.912 TB/s', '1.000 ms')
    >>> format_quantity(92.3451, "%"), format_quantity(1.2999, "x roof"), format_quantity(40, "")
    ('92.35 %', '1.300 x roof', '40')
    """
    unit = "" if unit == "1" else unit
    scale, name = form_of(value, unit)
    exact = not unit and math.isfinite(value) and float(value).is_integer()
    number = f"{int(value):,}" if exact else digits(value / scale)
    return f"{number} {name}".rstrip()


def format_interval(low: float, high: float, unit: str) -> str:
    """Write an interval with one unit, the one that its upper end takes.

    >>> format_interval(1.331e-5, 1.36e-5, "s"), format_interval(9.9e-7, 1.01e-6, "s")
    ('13.31..13.60 us', '0.9900..1.010 us')
    """
    unit = "" if unit == "1" else unit
    scale, name = form_of(max(abs(low), abs(high)), unit)
    return f"{digits(low / scale)}..{digits(high / scale)} {name}".rstrip()


def format_margin(margin: float) -> str:
    """Write a relative distance to a limit with its sign; negative means violated.

    >>> format_margin(-0.118), format_margin(0.0523), format_margin(0.0)
    ('-11.80 %', '+5.230 %', '0 %')
    """
    sign = "+" if margin > 0 else ""
    return f"{sign}{digits(100 * margin)} %"


def form_of(value: float, unit: str) -> tuple[float, str]:
    """Return the scale and the name of the prefixed unit that shows a value with 1 to 999 before the point.

    >>> form_of(1.342e-5, "s"), form_of(0.0, "s"), form_of(12, "%")
    ((1e-06, 'us'), (1.0, 's'), (1.0, '%'))
    """
    forms = _FORMS.get(unit)
    if forms is None:
        return 1.0, unit
    size = abs(_four(value)) if math.isfinite(value) else 0.0
    if size == 0:
        return next((form for form in forms if form[0] == 1.0), forms[0])
    return next((form for form in reversed(forms) if size >= form[0] * (1 - 1e-9)), forms[0])


def visible(text: str) -> str:
    r"""Write control and direction-changing characters as escapes, so that a text shows what it holds; keeps line ends and tabs.

    >>> visible("a\u202eb\x00c\n")
    'a\\u202eb\\x00c\n'
    """
    if text.isprintable():
        return text
    return "".join(_escaped(char) for char in text)


def shorten(text: str, limit: int) -> str:
    """Cut a text to a number of characters, with a mark where it was cut.

    >>> shorten("abcdef", 4), shorten("abc", 4)
    ('abc…', 'abc')
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"


def plural(count: int, noun: str) -> str:
    """Write a count with its noun.

    >>> plural(1, "case"), plural(2000, "case")
    ('1 case', '2,000 cases')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _four(number: float) -> float:
    return float(f"{number:.{_DIGITS - 1}e}")


def _escaped(char: str) -> str:
    if char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}:
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

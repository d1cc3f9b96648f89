"""Numbers as people read them: four significant digits with a unit."""

from __future__ import annotations

_STEPS: dict[str, tuple[tuple[float, str], ...]] = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")),
    "B/s": ((1e12, "TB/s"), (1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"), (1.0, "B/s")),
    "B": ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")),
}


def four_digits(number: float) -> str:
    """Return a number with four significant digits and no exponent where it can be read without.

    >>> four_digits(13.4249), four_digits(0.861), four_digits(1234567.0)
    ('13.42', '0.8610', '1,234,567')
    """
    if number == 0:
        return "0"
    if abs(number) >= 1000:
        return f"{number:,.0f}"
    digits = f"{number:#.4g}"
    return digits.rstrip(".")


def format_quantity(number: float, unit: str) -> str:
    """Return a number in the step of its unit that reads best.

    >>> format_quantity(1.342e-5, "s"), format_quantity(3.912e12, "B/s"), format_quantity(81.3, "%"), format_quantity(1.0, "1")
    ('13.42 us', '3.912 TB/s', '81.30 %', '1.000')
    """
    steps = _STEPS.get(unit)
    if steps is None:
        return four_digits(number) if unit == "1" else f"{four_digits(number)} {unit}"
    # A tiny slack keeps 1000 ns from reading as 1.000e+03: binary fractions land just under a step.
    scale, name = next((step for step in steps if abs(number) >= step[0] * (1 - 1e-12)), steps[-1])
    return f"{four_digits(number / scale)} {name}"

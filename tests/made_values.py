"""Values for tests: times with intervals and calibrations, counts, holes, and a listener that remembers."""

from __future__ import annotations

import operator

from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.values import Value

KERNEL, GRAPH = "device/kernel", "device/graph"
ORDERINGS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
EQUALITIES = {"==": operator.eq, "!=": operator.ne}
ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


class Told:
    """A listener that remembers."""

    def __init__(self):
        self.errors = []

    def undecided(self, error):
        self.errors.append(error)


def seconds(number, half=0.0, calibration=0.0, key=KERNEL, **more):
    more.setdefault("name", "time")
    return Value(number, "s", "device", number - half, number + half, {key: calibration} if calibration else {}, **more)


def count(number, **more):
    return Value(number, "1", "compiler", exact=True, name="registers", **more)


def hole(code="no-gpu", **more):
    return Value.missing("time", "s", "device", Reason(code), **more)

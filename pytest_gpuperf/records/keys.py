"""What identifies a record: the node id without xdist's suffix, and a name's nearest neighbour."""

from __future__ import annotations


def bare_nodeid(nodeid: str) -> str:
    """Return a node id without the "@group" that xdist's loadgroup distribution appends.

    An "@" inside the parameters or in the path of the file is part of the id and stays.

    >>> bare_nodeid("suites/test_x.py::test_y[a@b]@gpu0")
    'suites/test_x.py::test_y[a@b]'
    >>> bare_nodeid("suites/@old/test_x.py::test_y[a@b]")
    'suites/@old/test_x.py::test_y[a@b]'
    """
    at = nodeid.rfind("@")
    return nodeid[:at] if at > max(nodeid.rfind("]"), nodeid.rfind("::")) else nodeid

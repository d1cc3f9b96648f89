"""Reports of Nsight Compute that an H200 wrote, and a stand-in for the package ncu_report; run as a script, it writes anew what the package says of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

DATA = Path(__file__).parent / "data"
#: Five kernels in three ranges of ours, one of them launched by another thread.
SMALL = DATA / "ncu_small.ncu-rep"
#: The same, as `ncu --import FILE --csv --page raw --print-units base` printed it.
SMALL_CSV = (DATA / "ncu_small.csv").read_text(encoding="utf-8")
#: Nodes of a graph, a stream of its own, and kernels of torch, as printed; less facts of the device.
GRAPH_CSV = (DATA / "ncu_graph.csv").read_text(encoding="utf-8")
_TOLD = DATA / "ncu_small.json"
_OF_THE_DEVICE = ("device__", "nvlink__", "numa__", "c2clink__")


def told() -> list[dict]:
    """Return what the package ncu_report says of SMALL: of each kernel its name, the ranges by domain, and {metric: [value, unit]}."""
    return json.loads(_TOLD.read_text(encoding="utf-8"))


@dataclasses.dataclass
class FakePackage:
    """The package ncu_report, with actions given as `told` returns them; None among them is an action of which nothing is known."""

    actions: list

    def __call__(self):
        return self

    def load_report(self, file_name):
        one = SimpleNamespace(num_actions=lambda: len(self.actions), action_by_idx=lambda place: _action(self.actions[place]))
        return SimpleNamespace(num_ranges=lambda: int(bool(self.actions)), range_by_idx=lambda _: one)


def _action(given):
    if given is None:
        return SimpleNamespace(name=lambda: None)
    domains = [SimpleNamespace(name=lambda name=name: name, start_end_ranges=lambda ranges=ranges: tuple(ranges)) for name, ranges in given["ranges"].items()]
    state = SimpleNamespace(domains=lambda: range(len(domains)), domain_by_id=lambda place: domains[place])
    metrics = {name: SimpleNamespace(value=lambda value=value: value, unit=lambda unit=unit: unit) for name, (value, unit) in given["values"].items()}
    return SimpleNamespace(name=lambda: given["name"], nvtx_state=lambda: state, metric_names=lambda: tuple(metrics), metric_by_name=metrics.get)


def _ask() -> list[dict]:
    import ncu_report

    context = ncu_report.load_report(str(SMALL))
    found = []
    for action in [context.range_by_idx(0).action_by_idx(place) for place in range(context.range_by_idx(0).num_actions())]:
        state = action.nvtx_state()
        domains = [state.domain_by_id(one) for one in state.domains()]
        names = [name for name in action.metric_names() if not name.startswith(_OF_THE_DEVICE)]
        values = {name: [action.metric_by_name(name).value(), action.metric_by_name(name).unit()] for name in names}
        found.append({"name": action.name(), "ranges": {one.name(): one.start_end_ranges() for one in domains}, "values": values})
    return found


if __name__ == "__main__":
    _TOLD.write_text("[\n" + ",\n".join(json.dumps(one) for one in _ask()) + "\n]\n", encoding="utf-8")

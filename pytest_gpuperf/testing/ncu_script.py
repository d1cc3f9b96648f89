"""The program that FakeNcu writes: the options of ncu that matter here, with the standard library alone."""

import csv
import json
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
SPEC: dict[str, Any] = json.loads((HERE / "ncu.json").read_text(encoding="utf-8")) if (HERE / "ncu.json").exists() else {}
#: Options without a value.
FLAGS = {"--nvtx", "--force-overwrite", "-f", "--csv", "--query-metrics", "--version"}
RANGES = "Id:Domain:Start/Stop_Range:PL_Type:PL_Value:CLR_Type:Color:Msg_Type:Msg"
FIRST = ("ID", "Process ID", "Process Name", "Host Name", "thread Domain:Push/Pop_Range:PL_Type:PL_Value:CLR_Type:Color:Msg_Type:Msg", RANGES, "Kernel Name", "Context", "Stream")
UNITS = ((r"bytes.*\.per_second$", "byte/s"), (r"bytes", "byte"), (r"pct", "%"), (r"time_duration", "ns"), (r"sectors", "sector"), (r"warps", "warp"))


def unit(metric: str) -> str:
    """Give ncu's unit of a metric."""
    return next((word for pattern, word in UNITS if re.search(pattern, metric)), "")


def parse(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split a command line into options and the target."""
    options: dict[str, str] = {}
    place = 0
    while place < len(words) and words[place].startswith("-"):
        name = words[place]
        options[name] = "" if name in FLAGS else words[place + 1]
        place += 1 if name in FLAGS else 2
    return options, words[place:]


def kernels_of(event: dict[str, Any], metrics: list[str]) -> list[dict[str, float]]:
    """Give the kernels of one measurement: what the test made up, else one."""
    named = SPEC["bodies"].get(f"{event['function']}/{event['name']}")
    made = [{}] if named is None else named
    return [{one: kernel.get(one, SPEC["counters"].get(one, 1000)) for one in metrics if one not in SPEC["lacks"]} for kernel in made]


def profile(options: dict[str, str], target: list[str]) -> int:
    """Run the target, and report on what it told of itself."""
    with (HERE / "starts.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(sys.argv) + "\n")
    log = pathlib.Path(options["--log-file"])
    status = subprocess.run(target, check=False).returncode
    lines = ["==PROF== Connected to process 1"]
    if SPEC["says"]:
        log.write_text("\n".join([*lines, f"==ERROR== {SPEC['says']}"]) + "\n", encoding="utf-8")
        return 1
    task = json.loads(pathlib.Path(os.environ["GPUPERF_CHILD_TASK"]).read_text(encoding="utf-8"))
    progress = pathlib.Path(task["folder"]) / "progress.jsonl"
    events = [json.loads(line) for line in progress.read_text(encoding="utf-8").splitlines()] if progress.exists() else []
    metrics = [one for one in options["--metrics"].split(",") if one not in SPEC["lacks"]]
    rows: list[tuple[str, dict[str, float]]] = []
    for event in events:
        if event["event"] == "measured":
            rows += [(event["slug"], kernel) for kernel in kernels_of(event, metrics)]
    if status:
        lines.append(f"==ERROR== The application returned an error code ({status % 256}).")
    if rows:
        with pathlib.Path(options["--export"]).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, quoting=csv.QUOTE_ALL)
            table.writerow([*FIRST, *metrics])
            table.writerow(["" for _ in FIRST] + [unit(one) for one in metrics])
            for place, (slug, kernel) in enumerate(rows):
                shown = f' "{place}:gpuperf:{slug}:none:none:RGB:0xff:REGISTERED:{slug}" '
                first = (place, 1, "python", "127.0.0.1", "", shown, "range" if options["--replay-mode"] == "app-range" else "fake_kernel", 1, 7)
                table.writerow([*first, *(f"{kernel[one]:,.15g}" for one in metrics)])
        lines.append(f"==PROF== Report: {options['--export']}")
    else:
        lines.append("==WARNING== No kernels were profiled.")
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return status


def main() -> int:
    """Answer as ncu does."""
    options, target = parse(sys.argv[1:])
    if "--version" in options:
        sys.stdout.write(f"NVIDIA (R) Nsight Compute Command Line Profiler\nVersion {SPEC['version']} (build 1) (fake)\n")
    elif "--query-metrics" in options:
        sys.stdout.write("Device NVIDIA Fake (GF100)\n")
        sys.stdout.writelines(f"{name}    Counter    {unit(name)}    # of {name}\n" for name in SPEC["listing"])
    elif "--import" in options:
        sys.stdout.write(pathlib.Path(options["--import"]).read_text(encoding="utf-8"))
    else:
        return profile(options, target)
    return 0


if __name__ == "__main__":
    sys.exit(main())

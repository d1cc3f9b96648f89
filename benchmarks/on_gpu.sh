#!/usr/bin/env bash
# Everything that needs a GPU, in one go: device check, suites with the qualification (a run file and a page), GPU tests, our clock beside its peers, what counters cost.
# GPUPERF_COMMIT names the commit for the run file, where the tree is a copy.
# Usage: benchmarks/on_gpu.sh FOLDER [PART ...]; parts: check suites tests clock counters (all unless named). Logs and results go to FOLDER.
set -u
out=$1; shift
parts=${*:-check suites tests clock counters}
mkdir -p "$out"
export PYTHONUNBUFFERED=1 NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS=0
# A copy of the tree may carry a .git that is not its own: where the commit is named, git is not asked.
[ -z "${GPUPERF_COMMIT:-}" ] || export GIT_DIR=/dev/null
for part in $parts; do
  began=$(date +%s)
  case $part in
    check) timeout 300 python3 benchmarks/gpu_check.py --json "$out/gpu_check.json" >"$out/check.log" 2>&1 ;;
    suites) timeout 420 python3 -m pytest -p pytest_gpuperf.plugin -p no:cacheprovider --gpuperf --gpuperf-qualify --gpuperf-pairs ${PAIRS:-48} suites -q \
        --gpuperf-json reports/run.json --gpuperf-report reports/latest.html >"$out/suites.log" 2>&1; status=$?; cp reports/run.json reports/latest.html "$out/"; cp reports/*.ncu-rep "$out/" 2>/dev/null; (exit $status) ;;
    tests) timeout 590 python3 -m pytest -p pytest_gpuperf.plugin -p no:cacheprovider -m gpu -q --durations=5 tests/test_gpu_*.py >"$out/tests.log" 2>&1 ;;
    clock) timeout 300 python3 benchmarks/clock.py --json "$out/clock.json" --markdown "$out/clock-table.md" >"$out/clock.log" 2>&1 ;;
    counters) timeout 500 python3 benchmarks/counters.py --json "$out/counters.json" --markdown "$out/counters-table.md" >"$out/counters.log" 2>&1 ;;
    *) echo "no part $part; there are check suites tests clock counters"; exit 2 ;;
  esac
  echo "== $part: exit status $?, $(($(date +%s) - began)) s"
  tail -n "${LINES_SHOWN:-60}" "$out/$part.log" | cut -c1-220
done

"""REASONS: why something is INCONCLUSIVE, UNMEASURED or NOT-APPLICABLE, and what to do next."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any, Literal

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "UNMEASURED", "NOT-APPLICABLE"]

PASS: Verdict = "PASS"
FAIL: Verdict = "FAIL"
INCONCLUSIVE: Verdict = "INCONCLUSIVE"
UNMEASURED: Verdict = "UNMEASURED"
NOT_APPLICABLE: Verdict = "NOT-APPLICABLE"

#: Worst first: the verdict of a case is the first of these that one of its parts has.
VERDICTS: tuple[Verdict, ...] = (FAIL, INCONCLUSIVE, UNMEASURED, NOT_APPLICABLE, PASS)


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """One row of REASONS: a code, the verdict it leads to, a sentence and the next step."""

    code: str
    verdict: Verdict
    sentence: str
    next_step: str


REASONS: tuple[Cause, ...] = (
    Cause("no-gpu", UNMEASURED, "no NVIDIA GPU is visible to this process", "run on a machine with a GPU and its driver"),
    Cause("no-driver", UNMEASURED, "an NVIDIA GPU is listed but its driver cannot be used", "read the detail; reinstall the driver or free the device"),
    Cause("needs-gpuperf", UNMEASURED, "needs --gpuperf", "run pytest --gpuperf"),
    Cause("no-measurement", UNMEASURED, "the case ended without this measurement", "call gpuperf.measure before the case ends"),
    Cause("body-failed", UNMEASURED, "the test ended before this measurement", "mend the error that ended it"),
    Cause("sync", UNMEASURED, "the body synchronises with the host, so it has no time of its own on the device", "move the synchronisation out of the body, or judge wall_time"),
    Cause("queue-full", UNMEASURED, "one call of the body queues more launches than a held stream takes, about 1,000", "measure gpuperf.graph(fn), or a part of the body, or judge wall_time"),
    Cause("not-capturable", UNMEASURED, "one call of the body cannot be captured into a graph", "launch on gpuperf.stream, read inside the body at each call; or install pytest-gpuperf[cupti], which counts without a capture"),
    Cause("allocator-unknown", UNMEASURED, "nothing here sees every allocation of the body", "install pytest-gpuperf[cupti], which sees those of the driver"),
    Cause("no-cupti", UNMEASURED, "a profiler is needed, and CUPTI cannot be used in this process", "install pytest-gpuperf[cupti], in the version of the CUDA libraries"),
    Cause("cupti-taken", UNMEASURED, "another profiler is the one subscriber that CUPTI takes in this process", "take torch.profiler, or what else profiles, out of this process; or run this case in one of its own"),
    Cause("cupti-no-records", UNMEASURED, "nothing is recorded by CUPTI in this process: another profiler has it, or had it", "take that profiler out of this process, or run this case in one of its own"),
    Cause("cupti-dropped", UNMEASURED, "records were dropped by CUPTI, so what is left tells nothing whole", "measure a body of fewer launches"),
    Cause("graph-collapsed", UNMEASURED, "the trace holds each launch of a graph as one row, without the work inside", "record with nsys profile --cuda-graph-trace=node"),
    Cause("no-cuda-trace", UNMEASURED, "the trace holds no calls of CUDA", "record with nsys profile --trace=cuda,nvtx"),
    Cause("trace-incomplete", UNMEASURED, "the trace lacks work that calls inside the range launched", "record CUDA too, and let the device become idle before the recording ends"),
    Cause("range-open", UNMEASURED, "the range had not ended when the recording did", "let the range end before the recording does"),
    Cause("no-device-work", UNMEASURED, "nothing ran on the device for this range", "put the range around the calls that launch, on the thread that makes them"),
    Cause("not-in-trace", UNMEASURED, "an nsys trace does not tell this quantity", "measure it with gpuperf.measure"),
    Cause("needs-inputs", UNMEASURED, "steady needs inputs of at least 4x L2 together", "pass inputs=[...] sets whose bytes exceed 4x L2, or a larger body"),
    Cause("needs-work", UNMEASURED, "bandwidth needs to know the bytes of the body", "pass work=Work(reads=..., writes=...)"),
    Cause("no-roof", UNMEASURED, "there is no roof from the source of this time", "hold it against seconds, or measure with --gpuperf-clock=device"),
    Cause("needs-flops", UNMEASURED, "tflops needs to know the operations of the body", "pass work=Work(flops=..., kind=...)"),
    Cause("no-rate", UNMEASURED, "none of our kernels reaches this device's rate of that kind of arithmetic", "judge the rate itself, as tflops='>= 100 TFLOP/s'"),
    Cause("no-memory", UNMEASURED, "too little device memory is free", "free device memory, or measure a smaller body"),
    Cause("too-few-samples", UNMEASURED, "too few samples for this percentile", "put it into a limit, as 'p99 <= 1 ms': that takes enough, if --gpuperf-limit leaves the time; or ask for p50"),
    Cause("no-tails", UNMEASURED, "a steady sample is a mean over a batch and has no percentiles", "judge p50, or use cache='cold'"),
    Cause("already-warm", UNMEASURED, "this process had run the function before, so there is no first call to time", "measure it in a fresh process, before any other call"),
    Cause("first-call-unknown", UNMEASURED, "nothing tells whether this process had run the function before", "pass a numba or Triton kernel, which knows"),
    Cause("device-lost", UNMEASURED, "the CUDA context is no longer usable after an earlier error", "mend the case that broke it; run this one alone"),
    Cause("interrupted", UNMEASURED, "the session ended while this case ran", "run the case again"),
    Cause("not-run", UNMEASURED, "the session ended before this case ran", "run the case again"),
    Cause("skipped", UNMEASURED, "the case was skipped", "read the case's own skip reason"),
    Cause("error", UNMEASURED, "the case failed in its set-up", "mend the fixture that failed"),
    Cause("no-answer", UNMEASURED, "a process that was started for a measurement did not answer", "read the detail; run that measurement in this process"),
    Cause("base-failed", UNMEASURED, "the base's session did not measure this", "read the detail; run the base's tests by themselves, from a checkout of it"),
    Cause("base-imports-head", UNMEASURED, "the base's session imported code that is not of the base's tree, so the base was not what ran", "let tests import what they measure from the tree: by the root's folder, src/, or pytest's pythonpath; not from an installation"),
    Cause("ncu-off", UNMEASURED, "hardware counters are off in this session", "run with --gpuperf-ncu=auto"),
    Cause("no-ncu", UNMEASURED, "ncu, the program of Nsight Compute, was not found", "install Nsight Compute, and put ncu on PATH or its folder under CUDA_HOME"),
    Cause("ncu-permission", UNMEASURED, "this user may not read hardware counters (ERR_NVGPUCTRPERM)", "let the administrator load the nvidia module with NVreg_RestrictProfilingToAdminUsers=0, or run with CAP_SYS_ADMIN"),
    Cause("ncu-busy", UNMEASURED, "another tool holds the device's counters", "stop it meanwhile; for DCGM: dcgmi profile --pause, and --resume afterwards"),
    Cause("ncu-failed", UNMEASURED, "ncu could not profile", "read what ncu said; run the command that the page shows by hand"),
    Cause("ncu-died", UNMEASURED, "the profiled process died in this case", "run the case alone with --gpuperf-ncu=off, then under ncu by hand"),
    Cause("ncu-hang", UNMEASURED, "the case did not end under ncu in its time", "give it more with --gpuperf-timeout, or profile a smaller body"),
    Cause("ncu-body-failed", UNMEASURED, "the test ended before this measurement in the profiled process", "mend the error that ended it there; GPUPERF_CHILD=1 tells a conftest that it runs in that process"),
    Cause("no-such-counter", UNMEASURED, "this chip does not have this counter, or not with this suffix", "look it up: ncu --query-metrics, and --query-metrics-mode suffix"),
    Cause("no-kernel", UNMEASURED, "the body launched no kernel in the profiled process", "measure what launches; copies and memsets have no counters"),
    Cause("mig", UNMEASURED, "counters of units that a MIG instance shares are not readable in it", "run on a whole GPU"),
    Cause("not-in-child", UNMEASURED, "the profiled process did not find this case", "give its parameters ids that are the same in every process"),
    Cause("not-collected", UNMEASURED, "this counter was not collected in the profiled run", "name it in the marker, as counters=['dram__bytes_write.sum']"),
    Cause("other-inputs", UNMEASURED, "the profiled call had other inputs than this one", "make the inputs from a seed, not from the time, the process or the order of tests"),
    Cause("code-changed", UNMEASURED, "the kernel's code is not the one whose counters are stored", "run once with --gpuperf-ncu=auto"),
    Cause("no-compute-sanitizer", UNMEASURED, "compute-sanitizer was not found, or could not check", "install the CUDA toolkit's compute-sanitizer, and put it on PATH"),
    Cause("under-sanitizer", UNMEASURED, "a session under compute-sanitizer measures nothing", "judge limits in a run without --gpuperf-sanitize"),
    Cause("sanitizer-died", UNMEASURED, "the checked process died in this case", "run the case alone, without --gpuperf-sanitize, then with it"),
    Cause("sanitizer-hang", UNMEASURED, "the case did not end under compute-sanitizer in its time", "give it more with --gpuperf-timeout, or check a smaller body"),
    Cause("sanitizer-body-failed", UNMEASURED, "the test failed in the checked process, before anything was found", "mend the error; an access to a wrong address shows under --gpuperf-sanitize=memcheck"),
    Cause("no-launch-seen", UNMEASURED, "the body was not seen to launch a numba kernel", "launch one in the body, or ask gpuperf.compiled(kernel, signature, arch='sm_90')"),
    Cause("kernel-unnamed", UNMEASURED, "another process cannot find this kernel by name", "define it at the top of a module, or give it a row in KERNELS of a module that --gpuperf-kernels names"),
    Cause("signature-unknown", UNMEASURED, "the type of an argument of this launch cannot be told", "ask gpuperf.compiled(kernel, signature, arch='sm_90')"),
    Cause("no-compiler", UNMEASURED, "kernels cannot be compiled here", "pip install 'pytest-gpuperf[static]'"),
    Cause("toolchain", UNMEASURED, "the compilers of this environment do not go together", "install NVVM and nvJitLink of one release"),
    Cause("compile-died", UNMEASURED, "the process that compiles died of this kernel", "compile it alone: gpuperf static MODULE --kernel NAME"),
    Cause("compile-hang", UNMEASURED, "this kernel was not compiled in its time", "compile it alone: gpuperf static MODULE --kernel NAME"),
    Cause("no-nvdisasm", UNMEASURED, "nvdisasm was not found, or could not be started", "pip install 'pytest-gpuperf[static]', or put it on the PATH"),
    Cause("no-disassembly", UNMEASURED, "nvdisasm cannot read this machine code", "pip install -U nvidia-cuda-nvdisasm"),
    Cause("no-report", UNMEASURED, "the assembler was not asked what it spilled", "compile from source, by numba or NVRTC"),
    Cause("no-block", UNMEASURED, "the number of threads in a block is not known", "say it, as gpuperf.compiled(kernel, signature, arch='sm_90', block=128)"),
    Cause("straddles", INCONCLUSIVE, "the limit lies inside the interval of what was measured", "raise --gpuperf-limit, or leave a margin between limit and typical value"),
    Cause("drift", INCONCLUSIVE, "the measurement drifts by more than 2 % and the limit lies inside the drift", "measure on an idle machine; look at the rounds on the page"),
    Cause("throttled", INCONCLUSIVE, "clock-limit reasons changed during the measurement", "let the device cool, find what else draws power, or measure a kernel that lives at the power limit with duty='sustained'"),
    Cause("foreign-load", INCONCLUSIVE, "another process is using the device", "wait for it, or run alone on this device"),
    Cause("other-stream", INCONCLUSIVE, "the device is still busy after the body's stream is idle", "pass stream= the stream the body uses, or make that stream wait"),
    Cause("changes-inputs", INCONCLUSIVE, "calls change an array that they were given, so no two did the same work", "name it in inout= or outputs=, put it back in setup=, or pass varies=True"),
    Cause("below-clock", INCONCLUSIVE, "the time is not above the clock's own uncertainty", "put more work into the body, or measure with cache='steady'"),
    Cause("counts-differ", INCONCLUSIVE, "calls of the body differ in this count", "warm the body up before, or find what makes its calls differ"),
    Cause("sources-disagree", INCONCLUSIVE, "the device clock and CUPTI do not agree on the time", "look at both numbers on the page; measure a body with fewer launches, or report it with the run file"),
    Cause("toolchain-differs", INCONCLUSIVE, "the limit was recorded with another version of the compiler", "record it again, or install the versions that it was recorded with"),
    Cause("absorbed-by-l2", INCONCLUSIVE, "the body writes less than 4x L2, so an unknown part of it never reached DRAM", "judge what reaches L2, or measure a body that writes at least 4x L2"),
    Cause("zero-ratio", INCONCLUSIVE, "the divisor is zero or cannot be told from zero", "measure something larger, or compare the difference"),
    Cause("impossible", INCONCLUSIVE, "the body is faster than the device can move or compute what Work says", "check Work: does the body really move these bytes in this cache state, and do these operations in this arithmetic?"),
    Cause("environment-differs", INCONCLUSIVE, "what surrounds the two measurements differs, so the change need not be the code's", "record the reference anew in this environment; or compare both versions here and now, with gpuperf.compare"),
    Cause("measured-otherwise", INCONCLUSIVE, "the two were not measured in the same way", "measure both in one cache state, with one clock and with one Work"),
    Cause("hang", FAIL, "the case did not end in its time", "read the stacks that were printed; give it more with --gpuperf-timeout, if it is only slow"),
    Cause("other-device", NOT_APPLICABLE, "the limit is for another device", "add a glob for this device, or '*'"),
)

_BY_CODE = {row.code: row for row in REASONS}


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """Why a value or a verdict is what it is: a code of REASONS and what happened here.

    >>> print(Reason("no-gpu"))
    UNMEASURED no-gpu: no NVIDIA GPU is visible to this process (run on a machine with a GPU and its driver)
    """

    code: str
    detail: str = ""

    def __post_init__(self) -> None:
        """Refuse a code that REASONS does not have: a reason is never made up on the spot."""
        if self.code not in _BY_CODE:
            near = difflib.get_close_matches(self.code, _BY_CODE, 1)
            message = f"unknown reason {self.code!r}" + (f"; nearest {near[0]!r}" if near else "")
            raise ValueError(message)

    @property
    def cause(self) -> Cause:
        """The row of REASONS."""
        return _BY_CODE[self.code]

    @property
    def verdict(self) -> Verdict:
        """The verdict that this reason leads to."""
        return self.cause.verdict

    def __str__(self) -> str:
        """One line: verdict, code, what happened, next step."""
        return f"{self.verdict} {self.code}: {self.detail or self.cause.sentence} ({self.cause.next_step})"


def reason_record(reason: Reason, subject: str = "") -> dict[str, Any]:
    """Return a reason as plain values for the run file."""
    return {
        "code": reason.code,
        "verdict": reason.verdict,
        "sentence": reason.detail or reason.cause.sentence,
        "next_step": reason.cause.next_step,
        "subject": subject,
    }


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the worst of some verdicts; PASS for none.

    >>> worst(["PASS", "UNMEASURED", "INCONCLUSIVE"])
    'INCONCLUSIVE'
    """
    return next((verdict for verdict in VERDICTS if verdict in verdicts), PASS)

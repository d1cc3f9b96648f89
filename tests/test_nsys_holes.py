"""What a trace of nsys does not hold is UNMEASURED or one clear error, never a smaller number."""

from __future__ import annotations

import sqlite3

import pytest
from made_nsys import Recorder, write

from pytest_gpuperf import TraceError, Unmeasured
from pytest_gpuperf.imports import nsys
from pytest_gpuperf.imports.nsys_tables import TABLES, opened

KERNELS, CALLS = "CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_RUNTIME"


@pytest.fixture
def made():
    return Recorder()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trace.sqlite"


def unmeasured(m):
    return {name: value.reason.code for name, value in m.values.items() if value.source == "nsys" and value.number is None}


def test_collapsed_graphs_are_never_a_smaller_count(made, path):
    made.step(body=lambda: (made.launch(), made.graph(3)))
    made.step("plain")
    trace = nsys.load(write(path, made))
    m = trace["step"]
    assert unmeasured(m) == dict.fromkeys(("launches", "kernels", "memcpys", "memsets"), "graph-collapsed")
    with pytest.raises(Unmeasured, match=r"in 1 of 1 instance .record with nsys profile --cuda-graph-trace=node"):
        m.require(launches="<= 10")
    # Times come from the rows of graphs, and say so.
    assert m.busy_time.point == pytest.approx(40e-6)
    assert "1 instance with graphs recorded whole: device times count the gaps inside a graph as work" in m.context
    assert (m.api_calls.point, m.synchronizations.point) == (2, 0)
    assert trace["plain"].launches == 1
    assert "graphs" not in trace["plain"].context


def test_graphs_recorded_by_their_nodes_count(made, path):
    made.step(body=lambda: (made.launch(), made.graph(3, collapsed=False)))
    m = nsys.load(write(path, made))["step"]
    assert (m.launches.point, m.kernels.point) == (4, 4)


def test_no_table_of_calls(made, path):
    made.step()
    m = nsys.load(write(path, made, drop=[CALLS]))["step"]
    assert set(unmeasured(m).values()) == {"no-cuda-trace"}
    assert set(unmeasured(m)) == {"time", "launches", "kernels", "memcpys", "memsets", "synchronizations", "api_calls", "api_time", "busy_time"}
    assert m.host_time < 1e-3


def test_no_table_of_kernels_but_launches(made, path):
    made.step()
    made.step("quiet", body=lambda: made.call("cudaGetDevice_v3020"))
    trace = nsys.load(write(path, made, drop=[KERNELS]))
    m = trace["step"]
    assert unmeasured(m) == dict.fromkeys(("time", "launches", "kernels", "memcpys", "memsets", "busy_time"), "trace-incomplete")
    with pytest.raises(Unmeasured, match="1 launch in 1 of 1 instance, but the trace has no table CUPTI_ACTIVITY_KIND_KERNEL"):
        m.require(launches="<= 1")
    assert (m.api_calls.point, trace["quiet"].launches.point) == (1, 0)


def test_no_table_of_kernels_and_none_needed(made, path):
    made.step(body=lambda: made.work("MEMSET", made.call("cudaMemsetAsync_v3020")))
    m = nsys.load(write(path, made))["step"]
    assert (m.launches.point, m.memsets.point, m.memcpys.point) == (0, 1, 0)


@pytest.mark.parametrize("name", ["cudaLaunchKernelExC_v11060", "cuLaunchKernel", "cudaGraphLaunch_v10000"])
def test_a_launch_without_its_work_is_missing_work(made, path, name):
    made.step(body=lambda: (made.launch(), made.call(name)))
    m = nsys.load(write(path, made))["step"]
    with pytest.raises(Unmeasured, match="trace-incomplete: 1 launch in 1 of 1 instance, but the trace lacks their work"):
        m.require(launches="== 1")


def test_captured_and_failed_launches_launch_nothing(made, path):
    def body():
        made.launch()
        made.call("cudaStreamBeginCapture_v10000")
        made.call("cudaLaunchKernel_v7000")
        made.call("cudaStreamEndCapture_v10000")
        made.call("cudaLaunchKernel_v7000", result=1)

    made.step(body=body)
    assert nsys.load(write(path, made))["step"].launches == 1


def test_no_ranges_is_one_error(made, path, tmp_path):
    made.launch()
    told = "has no NVTX ranges (no table NVTX_EVENTS); record with nsys profile --trace=cuda,nvtx"
    with pytest.raises(TraceError) as error:
        nsys.load(write(path, made))
    assert told in str(error.value)
    made.domain(1, "mine")
    with pytest.raises(TraceError, match="no range in NVTX_EVENTS"):
        nsys.load(write(tmp_path / "domains.sqlite", made))
    with pytest.raises(TraceError, match="no table NVTX_EVENTS"):
        nsys.load(write(tmp_path / "empty.sqlite"))


def test_ranges_alone(made, path):
    made.range("step", 1, 5)
    m = nsys.load(write(path, made))["step"]
    assert m.host_time.point == pytest.approx(4e-6)
    assert set(unmeasured(m).values()) == {"no-cuda-trace"}


def test_a_range_without_an_end(made, path):
    made.step()
    made.range("step", made.now, None)
    made.range("open", made.now, None)
    trace = nsys.load(write(path, made))
    assert [(one.label, one.instances, one.unfinished) for one in trace] == [("step", 1, 1), ("open", 0, 1)]
    assert trace["step"].launches == 1
    assert "1 instance had not ended when the recording did, and is not counted" in trace["step"].context
    assert set(unmeasured(trace["open"]).values()) == {"range-open"}
    with pytest.raises(Unmeasured, match="range-open"):
        trace["open"].require(launches="== 0")


def test_unknown_columns_and_old_ones_do_not_matter(made, path):
    made.step()
    old = [
        (KERNELS, "graphNodeId"), (KERNELS, "mangledName"), (KERNELS, "demangledName"), (KERNELS, "deviceId"),
        (CALLS, "returnValue"), (CALLS, "callchainId"), ("NVTX_EVENTS", "domainId"), ("NVTX_EVENTS", "textId"), ("NVTX_EVENTS", "jsonText"),
    ]  # fmt: skip
    m = nsys.load(write(path, made, extra=("brandNew", "another"), without=old))["step"]
    assert (m.launches.point, m.kernels.point) == (1, 1)
    assert list(m.kernels_by_name) == ["add"]


@pytest.mark.parametrize(("table", "column"), [(table.name, column) for table in TABLES for column in table.needed])
def test_a_needed_column_that_is_missing_is_named(made, path, table, column):
    made.step(body=lambda: (made.launch(), made.graph()))
    made.work("MEMCPY", 1, bytes=1)
    made.work("MEMSET", 1, bytes=1)
    with pytest.raises(TraceError) as error:
        nsys.load(write(path, made, without=[(table, column)]))
    assert str(error.value).startswith(f"{path}: table {table} has no column {column}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "column",
    [("PROCESSES", "name"), ("PROCESSES", "globalPid"), ("TARGET_INFO_GPU", "name"), *(("CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", one) for one in ("correlationId", "syncType", "globalPid"))],
)  # fmt: skip
def test_tables_that_can_be_done_without_may_be_older(made, path, column):
    made.step(body=lambda: (made.launch(), made.work("SYNCHRONIZATION", made.call("cudaDeviceSynchronize_v3020"), syncType=4)))
    made.add("PROCESSES", globalPid=made.thread(0), pid=1, name="python")
    m = nsys.load(write(path, made, without=[column]))["step"]
    assert (m.launches.point, m.synchronizations.point) == (1, 1)


def test_a_record_without_a_correlation_is_of_no_call(made, path):
    made.step(body=lambda: (made.launch(), made.work("KERNEL", None)))
    made.rows["CUPTI_ACTIVITY_KIND_RUNTIME"].append(made.rows["CUPTI_ACTIVITY_KIND_RUNTIME"][0] | {"correlationId": None, "nameId": made.string("cudaGetDevice")})
    assert nsys.load(write(path, made))["step"].launches == 1


def test_a_name_that_is_no_text_is_read_all_the_same(made, path):
    made.step()
    write(path, made)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE NVTX_EVENTS SET text = CAST(X'73FF' AS TEXT)")
    database.close()
    assert nsys.load(path)["s\ufffd"].launches == 1


def test_nothing_can_be_written(made, path):
    made.step()
    write(path, made)
    with pytest.raises(TraceError, match="attempt to write a readonly database"), opened(path) as export:
        list(export.rows("CREATE TABLE mine (id)"))


def test_no_text_at_all(made, path):
    made.step()
    with pytest.raises(TraceError, match="neither a column text nor a column textId"):
        nsys.load(write(path, made, without=[("NVTX_EVENTS", "text"), ("NVTX_EVENTS", "textId")]))


def test_no_table_of_strings(made, path):
    made.step()
    with pytest.raises(TraceError, match="no table StringIds, which holds the names of its calls and kernels"):
        nsys.load(write(path, made, drop=["StringIds"]))


def test_work_of_no_call_is_in_no_range_and_noted(made, path):
    made.step(body=lambda: (made.launch(), made.work("KERNEL", 4711), made.work("MEMCPY", 0)))
    trace = nsys.load(write(path, made))
    assert trace["step"].launches == 1
    assert trace.notes == ("2 records of the device have no call in the trace that started them, and are in no range",)


def test_several_kinds_of_gpu_are_no_device(made, path):
    made.step()
    made.add("TARGET_INFO_GPU", id=1, name="NVIDIA L4")
    assert nsys.load(write(path, made))["step"].device is None


def test_what_is_no_database_of_nsys(tmp_path):
    report, text, other, broken = (tmp_path / name for name in ("run.nsys-rep", "text.sqlite", "other.sqlite", "broken.sqlite"))
    report.write_bytes(b"anything")
    text.write_text("{}")
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE users (id)")
    database.close()
    recorder = Recorder()
    recorder.step()
    whole = write(tmp_path / "whole.sqlite", recorder).read_bytes()
    broken.write_bytes(whole[: len(whole) // 3])
    for path, told in (
        (report, f"{report} is a report, not a database: nsys export --type sqlite run.nsys-rep"),
        (text, f"{text} is not an SQLite database; make one with nsys export --type sqlite"),
        (other, f"{other} is an SQLite database, but no nsys export: it has no table StringIds"),
        (broken, f"cannot read trace {broken}: "),
        (tmp_path / "none.sqlite", f"cannot read trace {tmp_path / 'none.sqlite'}: No such file or directory"),
        (tmp_path, f"cannot read trace {tmp_path}: "),
    ):
        with pytest.raises(TraceError) as error:
            nsys.load(path)
        assert str(error.value).startswith(told)
        assert "\n" not in str(error.value)


def test_the_database_is_left_as_it_is(made, tmp_path):
    made.step()
    folder = tmp_path / "a folder #1 ?"
    folder.mkdir()
    path = write(folder / "trace.sqlite", made)
    before = path.read_bytes()
    path.chmod(0o444)
    assert nsys.load(str(path))["step"].launches == 1
    assert path.read_bytes() == before
    assert [one.name for one in folder.iterdir()] == ["trace.sqlite"]

"""An OTLP agent that is not of our making (rotel, in Rust) understands what we push."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvm_exporter.config import Otlp
from kvm_exporter.metric import Metric
from kvm_exporter.outputs.otlp import OtlpPush
from kvm_exporter.snapshot import Part, Snapshot

pytestmark = pytest.mark.system
PATIENCE = 30

FAMILIES = (
    Metric("kvm_boot_time_seconds", "gauge", "Boot.", (), "seconds").single(1_000_000),
    Metric("kvm_cpu_seconds_total", "counter", "CPU.", ("cpu", "mode"), "seconds").family(
        [(("1", "user"), 2.5)]
    ),
    Metric("kvm_process_group_threads", "gauge", "T.", ("group",)).family([(("\udcff",), 3)]),
)

UNDERSTOOD = """
-> Name: system.cpu.time
-> Description: CPU.
-> Unit: s
-> DataType: Sum
-> IsMonotonic: true
-> AggregationTemporality: AGGREGATION_TEMPORALITY_CUMULATIVE
NumberDataPoints #0
Data point attributes:
-> cpu.logical_number: Int(1)
-> cpu.mode: Str(user)
StartTimestamp: 1000000000000000
Timestamp: 1000100000000000
Value: 2.5
Metric #2
Descriptor:
-> Name: process.thread.count
-> Description: T.
-> Unit: {thread}
-> DataType: Sum
-> IsMonotonic: false
-> AggregationTemporality: AGGREGATION_TEMPORALITY_CUMULATIVE
NumberDataPoints #0
Data point attributes:
-> kvm.process.group: Str(\\xff)
""".strip().splitlines()


@pytest.fixture
def agent(free_port: int, tmp_path: Path) -> Iterator[tuple[str, Iterator[str]]]:
    """The URL of a running agent, and the lines in which it says what it received."""
    rotel = pytest.importorskip("rotel", reason="needs the OTLP agent: pip install rotel")
    command = [Path(rotel.__file__).with_name("rotel-agent"), "start", "--exporter=blackhole"]
    command += ["--debug-log=metrics", "--debug-log-verbosity=detailed", "--disable-batching"]
    command += [f"--pid-file={tmp_path / 'pid'}", f"--otlp-http-endpoint=127.0.0.1:{free_port}"]
    process = subprocess.Popen(
        [*command, "--otlp-grpc-endpoint=127.0.0.1:0"], stdout=subprocess.PIPE, text=True
    )
    impatience = threading.Timer(PATIENCE, process.kill)
    impatience.start()
    lines = (line.strip() for line in process.stdout)
    yield f"http://127.0.0.1:{free_port}/v1/metrics", lines
    impatience.cancel()
    process.kill()
    process.wait()
    process.stdout.close()


def test_an_independent_agent_reads_our_points(agent):
    """Names, units, temporality, attributes, both times and values arrive as they were meant."""
    url, lines = agent
    push = OtlpPush(Otlp(url, {}, 3600, PATIENCE, "current", {}), "1.2.3")
    push.start()
    push.publish(Snapshot(1_000_100, (Part("test", FAMILIES),)))
    said = []
    for line in lines:
        said.append(line)
        if line == UNDERSTOOD[-1]:
            break
    push.stop(PATIENCE)
    begin = said.index(UNDERSTOOD[0])
    assert said[begin:] == UNDERSTOOD
    assert "-> service.version: Str(1.2.3)" in said

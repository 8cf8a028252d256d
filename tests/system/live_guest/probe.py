"""What do /proc and kernel memory say?  This runs in the guest, as root.

A line of JSON on the console for each question: its name, seconds, and answers.  What moves is read
in /proc before and after our own reading.  The test on the host compares.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import traceback
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from kvm_exporter import kvm as kernel
from kvm_exporter.collectors.symbols import asking, files
from kvm_exporter.kvm.expressions.plan import Plan
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.wanted import Metric, Module
from kvm_exporter.kvm.objects.linux.percpu import PerCpu

EXPORTER = [sys.executable, "-m", "kvm_exporter"]
NOBODY = 65534
CLOCK_MONOTONIC_COARSE = 6
"""linux/time.h"""

TICK = 10_000_000
"""Nanoseconds of a tick as /proc counts them (USER_HZ, 100)."""

MODES = ("user", "nice", "system", "softirq", "irq")
"""enum cpu_usage_stat (linux/kernel_stat.h), before those that nobody counts in memory."""

PROC_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq")
"""/proc/stat (proc_stat(5))."""

COUNTED = ("vmstat", "net/snmp", "net/snmp6", "net/netstat", "net/sockstat", "net/sockstat6",
           "softirqs", "schedstat", "slabinfo")  # fmt: skip
"""Files that tell what modules of symbols count, too."""

AREA = Metric("areas", ("zs_map_area.vm_buf != 0",), cpu="each")
AREAS = Module([AREA], [], {"zs_map_area": "struct mapping_area"})
"""A per-CPU variable of the module zsmalloc, of a type of its own (mm/zsmalloc.c)."""

PATIENT = "--config.file=/patient.yml"
"""An emulated processor takes its time."""

KVM = kernel.open()


def proc(name: str) -> str:
    """A file in /proc, or anywhere."""
    return Path("/proc", name).read_text("utf-8", "surrogateescape")


def number(name: str, size: int) -> int:
    """The integer variable ``name``."""
    return KVM.target.integer(KVM.target.address(name), size)


def bracketed(theirs: Callable[[], object], ours: Callable[[], object], tries: int = 1) -> object:
    """Their value, ours, and theirs again; with ``tries`` until theirs stayed the same."""
    for _ in range(tries):
        before, own, after = theirs(), ours(), theirs()
        if before == after:
            break
    return {"before": before, "ours": own, "after": after}


def banner() -> object:
    """The kernel's name for itself."""
    ours = KVM.target.string(KVM.target.address("linux_banner"))
    return {"ours": ours, "proc": proc("version")}


def load_average() -> object:
    """Three fixed-point numbers; /proc tells two decimals of each.

    There is a load to be seen as soon as the exporter has been at work for a while.
    """
    at = KVM.target.address("avenrun")
    while proc("loadavg").startswith("0.0"):
        sum(range(1_000_000))
    return bracketed(
        lambda: proc("loadavg").split()[:3],
        lambda: [KVM.target.integer(at + 8 * n, 8) for n in range(3)],
        tries=50,
    )


def jiffies() -> object:
    """The clock ticks on in memory as it does in /proc/uptime."""
    at = KVM.target.address("jiffies")

    def look() -> object:
        return bracketed(
            lambda: float(proc("uptime").split()[0]), lambda: KVM.target.integer(at, 8)
        )

    first = look()
    time.sleep(2)
    return {"first": first, "second": look(), "hertz": hertz()}


def hertz() -> int:
    """CONFIG_HZ: the coarse clock is set forward once a jiffy (clock_getres(2))."""
    return round(1 / time.clock_getres(CLOCK_MONOTONIC_COARSE))


def threads() -> object:
    """How many threads there are: the second number of /proc/loadavg's fourth field."""
    return bracketed(
        lambda: int(proc("loadavg").split()[3].split("/")[1]),
        lambda: number("nr_threads", 4),
        tries=50,
    )


def cpu_times() -> object:
    """Each CPU's times, in ticks."""
    cpus = PerCpu(KVM.target)

    def theirs() -> object:
        rows = re.findall(r"^cpu[0-9]+ (.*)", proc("stat"), re.MULTILINE)
        return [dict(zip(PROC_MODES, map(int, row.split()), strict=False)) for row in rows]

    def ours() -> object:
        places = [cpus.symbol("kernel_cpustat", cpu) for cpu in cpus.online]
        return [
            {mode: KVM.target.integer(at + 8 * n, 8) // TICK for n, mode in enumerate(MODES)}
            for at in places
        ]

    return bracketed(theirs, ours)


def tasks() -> object:
    """Every process, from init_task on, by its types."""
    struct = "struct task_struct"
    row = KVM.target.record(struct, ["tasks.next", "pid", "real_parent", "comm[]"])
    within, pid_at = KVM.target.offset(struct, "tasks"), KVM.target.offset(struct, "tgid")

    def ours() -> object:
        found, first = {}, KVM.target.address("init_task")
        at = row.at(first)[0] - within
        while at != first:
            following, pid, parent, comm = row.at(at)
            ppid = KVM.target.integer(parent + pid_at, 4)
            found[pid] = [ppid, comm.partition(b"\0")[0].decode()]
            at = following - within
        return found

    def theirs() -> object:
        found = {}
        for pid in (int(name) for name in os.listdir("/proc") if name.isdecimal()):
            try:
                _, comm, rest = re.split(r"\((.*)\)", proc(f"{pid}/stat"), flags=re.DOTALL)
            except OSError:
                continue
            # what a kworker does just now is no part of its name
            found[pid] = [int(rest.split()[1]), re.sub("^(kworker/[^-+]*).*", r"\1", comm)]
        return found

    return bracketed(theirs, ours, tries=20)


def module() -> object:
    """A module's variable, found by its name, and one of its types."""
    major = number("zram_major", 4)
    size = KVM.target.types.find("struct zram").size
    areas = collected(Plan(KVM.target, KVM.copies, AREAS))["samples"]
    return {"ours": major, "devices": proc("devices"), "size": size, "areas": areas[0]}


def collected(plan: Plan) -> dict[str, object]:
    """What a plan gives now; its memory and time are not short."""
    found = plan.collect(Budget(1 << 30, 1 << 20, lambda: False))
    missing = [[one.metric, one.reason] for one in plan.missing]
    more = {"unread": found.unreadable, "torn": found.torn, "missing": missing}
    return {"samples": found.samples, "labels": plan.labels, **more}


def counters() -> object:
    """What every module of symbols counts, and the files of /proc that tell the same."""
    modules = {name: files.load(path) for name, path in files.shipped().items() if "linux" in name}
    plans = {name: Plan(KVM.target, KVM.copies, asking.asked(one)) for name, one in modules.items()}
    for plan in plans.values():
        collected(plan)  # what takes long is done
    return bracketed(
        lambda: {name: proc(name) for name in COUNTED},
        lambda: {name: collected(plan) for name, plan in plans.items()},
    )


def names() -> object:
    """Two hundred symbols, as they are listed, and as they are found."""
    some = listed()
    return {"listed": list(some.values()), "ours": values(KVM, list(some))}


def listed() -> dict[str, int]:
    """The addresses of some two hundred symbols whose names are no other's."""
    rows = [line.split() for line in proc("kallsyms").splitlines()]
    count = Counter(name for _, _, name, *_ in rows)
    found = {name: int(address, 16) for address, _, name, *_ in rows if count[name] == 1}
    return dict(list(found.items())[:: len(found) // 200])


def values(kvm: kernel.Kvm, some: list[str]) -> list[int | None]:
    """The symbols' values."""
    return [found and found.value for found in kvm.nlist(some)]


def hidden_names() -> object:
    """The same where the kernel hides addresses from root, too: from its memory."""
    some = listed()
    Path("/proc/sys/kernel/kptr_restrict").write_text("2")
    try:
        with kernel.open() as kvm:
            ours = values(kvm, list(some))
            return {"hidden": proc("kallsyms")[:16], "listed": list(some.values()), "ours": ours}
    finally:
        Path("/proc/sys/kernel/kptr_restrict").write_text("0")


def run(*arguments: str, user: int = 0) -> object:
    """A command of the exporter: its status, and what it printed."""
    done = subprocess.run(
        [*EXPORTER, *arguments], capture_output=True, text=True, user=user, group=user, check=False
    )
    return {"status": done.returncode, "out": done.stdout, "err": done.stderr}


def inspect() -> object:
    """What a person asks of the running kernel."""
    return {
        "read": run("inspect", "read", "linux_banner", "32"),
        "nlist": run("inspect", "nlist", "jiffies", "--json"),
        "type": run("inspect", "type", "struct list_head"),
        "symbols": run("inspect", "symbols", "linux_ba*"),
    }


def explain() -> object:
    """How a number of the running kernel comes about, and what its name may be."""
    before = proc("stat")
    told = run("explain", "kernel_cpustat.cpustat[CPUTIME_SYSTEM]", "--cpu=each", "--json")
    return {
        "before": before,
        "told": told,
        "after": proc("stat"),
        "threads": run("explain", "nr_threads", "--type=nr_threads=int"),
        "candidates": run("symbols", "kernel_cpustat.*", "--json"),
        "mistake": run("explain", "kernel_cpustat.cpustats"),
    }


def unprivileged() -> object:
    """The same without any privilege."""
    return {
        "read": run("inspect", "read", "0xffffffff81000000", "32", user=NOBODY),
        "nlist": run("inspect", "nlist", "jiffies", user=NOBODY),
        "type": run("inspect", "type", "struct list_head", user=NOBODY),
        "scrape": run("scrape", PATIENT, user=NOBODY),
    }


def scrape() -> object:
    """One snapshot, printed."""
    return run("scrape", PATIENT)


def serve() -> object:
    """The service, asked over the loopback."""
    command = [*EXPORTER, "serve", PATIENT, "--web.listen-address=127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if found := re.search(r"http://[\w.:]+", line):
                break
        with urllib.request.urlopen(f"{found[0]}/metrics", timeout=60) as answer:
            body = answer.read().decode()
        status = proc(f"{process.pid}/status")
        process.terminate()
        _, err = process.communicate(timeout=60)
        return {"body": body, "process": status, "status": process.returncode, "err": err}


def locked_down() -> object:
    """What is told of a kernel that hides its memory even from root.  There is no way back."""
    Path("/sys/kernel/security/lockdown").write_text("confidentiality")
    return run("inspect", "read", "linux_banner", "32")


QUICK = (banner, jiffies, threads, cpu_times, tasks, module, names, hidden_names)
SLOW = (inspect, explain, unprivileged)
LAST = (scrape, serve, counters, load_average, locked_down)


def tell(question: Callable[[], object]) -> None:
    """A line with the answer, or why there is none."""
    began = time.monotonic()
    try:
        answer = question()
    except Exception:  # noqa: BLE001 - told to the test
        answer = {"failed": traceback.format_exc()}
    took = round(time.monotonic() - began, 2)
    sys.stdout.write(f"@{json.dumps([question.__name__, took, answer])}\n")
    sys.stdout.flush()


for part, questions in enumerate((QUICK, SLOW, LAST), 1):
    for question in questions:
        tell(question)
    sys.stdout.write(f"===PART {part}===\n")
    sys.stdout.flush()

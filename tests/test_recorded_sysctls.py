"""Every number that prometheus_sysctl_exporter(8) would print of a real FreeBSD 15.1, and more.

The oracle is that program's own work, retold from usr.sbin/prometheus_sysctl_exporter in Python:
``lines`` asks the recorded tree as it does, and prints what it does.
"""

from __future__ import annotations

import re
import struct
from types import SimpleNamespace

import pytest
from forge import freebsd_facts
from prometheus_client.parser import text_string_to_metric_families as parse

from kvm_exporter.collectors.symbols.sysctls import Sysctls, Tree
from kvm_exporter.kvm import Kvm
from kvm_exporter.kvm.errors import TypeMissing
from kvm_exporter.kvm.objects.freebsd.system import FreeBSDLive
from kvm_exporter.kvm.objects.opened import Opened
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.outputs.exposition import render

USERS = ("root", "nobody", "nobody-hidden")
CODES = {
    2: "i",
    6: "I",
    7: "q",
    8: "Q",
    4: "q",
    9: "Q",
    12: "b",
    10: "B",
    13: "h",
    11: "H",
    14: "i",
    15: "I",
}
"""GET_VALUE of oid_get_value(), on amd64."""


def lines(tree):
    """oid_print() of every leaf: (name with its labels, value)."""
    mib = (1,)
    while True:
        try:
            raw = tree.by_mib((0, 2, *mib), 96)
        except OSError:
            return
        mib = struct.unpack(f"<{len(raw) // 4}i", raw)
        try:
            answer = tree.by_mib((0, 4, *mib), 1028)
            kind, form = struct.unpack_from("<I", answer)[0] & 15, answer[4:-1].decode()
            value = number(tree, mib, kind, form)
        except OSError:
            continue
        if value is not None:
            yield name(tree, mib, form), value


def number(tree, mib, kind, form):
    """oid_get_value()."""
    if kind in CODES:
        (value,) = struct.unpack("<" + CODES[kind], tree.by_mib(mib, struct.calcsize(CODES[kind])))
        if form[:2] == "IK":
            power = int(form[2]) if form[2:3].isdigit() else 1
            return float("nan") if value < 0 else value / 10**power - 273.15
        return value
    if kind == 5 and form == "S,timeval":
        seconds, micro = struct.unpack("<qq", tree.by_mib(mib, 16))
        return seconds + micro / 1000000
    if kind == 5 and form == "S,loadavg":
        load, scale = struct.unpack("<I12xq", tree.by_mib(mib, 24))
        return load / scale
    return None


def name(tree, mib, form):
    """oid_get_name() and oid_get_metric()."""
    parts = tree.by_mib((0, 1, *mib))[:-1].decode().split(".")
    metric, labels = "sysctl", []
    for depth, part in enumerate(parts, 1):
        try:
            label = tree.by_mib((0, 6, *mib[:depth]))[:-1].decode()
        except OSError:
            label = ""
        if label:
            labels.append((label, part))
        else:
            metric += "_" + re.sub("[^A-Za-z0-9]", "_", part)
    if form[:2] == "IK":
        metric += "_celsius"
    elif form == "S,timeval":
        metric += "_seconds"
    return metric, tuple(sorted(labels))


class Untold:
    """No kernel file was recorded, and so no types."""

    def find(self, wanted):
        raise TypeMissing(wanted)


class Recorded:
    """The recorded kernel, and what kvm_exporter publishes of it."""

    def __init__(self, user):
        self.tree = freebsd_facts.tree(user)
        tally = Tally()
        system = FreeBSDLive(self.tree, None, tally)
        target = SimpleNamespace(types=Untold())
        opened = Opened(system, None, None, tally, lambda: None, find_target=lambda: target)
        self.kvm = Kvm(opened)
        self.sysctls = Sysctls([Tree("")])

    def families(self):
        """As the outputs get them."""
        return self.sysctls.families(self.kvm)

    def samples(self):
        """(Name, sorted labels) → value, as Prometheus reads them."""
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in parse(render(self.families()).decode())
            for sample in family.samples
        }


@pytest.fixture(scope="module")
def root():
    """What root saw."""
    return Recorded("root")


@pytest.mark.parametrize("user", USERS)
def test_every_line_of_the_sysctl_exporter_is_there(user):
    """Name for name, label for label, and with the value that it prints."""
    recorded = Recorded(user)
    printed = dict(lines(recorded.tree))
    assert len(printed) > 750
    got = recorded.samples()
    assert printed.keys() - got.keys() == set()
    assert {key: got[key] for key in printed} == pytest.approx(printed, abs=1e-6)


def test_there_is_more(root):
    """Arrays, and structs by their members; nothing twice."""
    more = root.samples().keys() - dict(lines(root.tree)).keys()
    names = {metric for metric, _ in more}
    assert {"sysctl_kern_cp_time", "sysctl_kern_clockrate_hz", "sysctl_vm_vmtotal_t_free"} <= names
    assert ("sysctl_kern_cp_time", (("index", "4"),)) in more


def test_labels_are_the_kernels(root):
    """A device's number, a timer's name and a feature's are no parts of names."""
    keys = root.samples().keys()
    assert ("sysctl_dev_vtnet_rx_csum_failed", (("device_index", "0"),)) in keys
    assert ("sysctl_kern_eventtimer_et_quality", (("eventtimer", "LAPIC"),)) in keys
    assert ("sysctl_kern_features", (("feature", "inet6"),)) in keys


def test_every_family_is_typed_and_told(root):
    """Each name once, a gauge, with a help that says which sysctls it is made of."""
    families = root.families()
    names = [family.metric.name for family in families]
    assert len(names) == len(set(names))
    assert {family.metric.kind for family in families} == {"gauge"}
    told = {family.metric.name: family.metric.help for family in families}
    assert told["sysctl_vm_swap_total"].endswith("From kvm(3): sysctl vm.swap_total.")
    assert told["sysctl_dev_vtnet_rx_csum_failed"].endswith("sysctl dev.vtnet.*.rx_csum_failed.")
    assert all("kvm(3)" in text for text in told.values())


def test_no_node_with_arguments_was_asked():
    """kern.proc and its kin, of which one panics a kernel, have no value and were not entered."""
    recorded = Recorded("root")
    recorded.samples()
    kern_proc = recorded.tree.mib("kern.proc")
    asked = [mib for mib in recorded.tree.asked if mib[: len(kern_proc)] == kern_proc]
    assert asked == []


def test_a_second_collection_asks_for_values_only(root):
    """Names, formats and labels are remembered; an eighth of the leaves is asked for the next."""
    first = root.families()
    root.tree.asked.clear()
    assert root.families() == first
    about = [mib for mib in root.tree.asked if mib[0] == 0]
    assert {mib[1] for mib in about} == {2}
    values = len(root.tree.asked) - len(about)
    assert len(about) < values / 6

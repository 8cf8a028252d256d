"""Promises of collectors/symbols/sysctls.py and sysctl_names.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from kvm_exporter.collectors.symbols.sysctls import Sysctls, Tree, number
from kvm_exporter.kvm.objects.sysctls import Setting, Sysctl, below
from kvm_exporter.outputs.exposition import render


def sysctl(name, form="I", description="", **labels):
    """A sysctl; ``labels`` are those of its parts, by the part."""
    parts = tuple(name.split("."))
    return Sysctl(parts, tuple(labels.get(f"_{part}", "") for part in parts), "", form, description)


class Kernel:
    """A kernel with these settings; ``asked`` are the trees that were read."""

    system = SimpleNamespace(name="freebsd")

    def __init__(self, *settings):
        self.settings = [Setting(one, value) for one, value in settings]
        self.asked = []

    def sysctls(self, prefixes, without=()):
        self.asked.append((tuple(prefixes), tuple(without)))
        roots = [tuple(one.split(".")) if one else () for one in prefixes]
        return (one for one in self.settings if below(one.sysctl.parts, roots))

    def sysctl(self, name):
        return next((one for one in self.settings if one.sysctl.name == name), None)


def samples(*settings):
    """(Name, labels) → value of everything."""
    families = Sysctls([Tree("")]).families(Kernel(*settings))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(render(families).decode())
        for sample in family.samples
    }


def only(one, value):
    """The one sample's name, labels and value."""
    (((name, labels), number),) = samples((one, value)).items()
    return name, dict(labels), number


def test_a_name_is_the_parts():
    """Joined by underscores behind sysctl, as one that is no letter or digit becomes."""
    assert only(sysctl("vm.stats.vm.v_swap-in%"), 5) == ("sysctl_vm_stats_vm_v_swap_in_", {}, 5)


def test_a_labelled_part_is_a_label():
    """dev.cpu.0.freq is sysctl_dev_cpu_freq of device 0; so is the last part of a feature."""
    one = sysctl("dev.cpu.0.freq", _0="device_index")
    assert only(one, 1) == ("sysctl_dev_cpu_freq", {"device_index": "0"}, 1)
    one = sysctl("kern.features.inet6", _inet6="feature")
    assert only(one, 1) == ("sysctl_kern_features", {"feature": "inet6"}, 1)


@pytest.mark.parametrize(
    ("form", "name"),
    [("IK", "a_celsius"), ("IK3", "a_celsius"), ("S,timeval", "a_seconds"), ("S,timevalx", "a")],
)
def test_units_end_names(form, name):
    """Temperatures and times; of the time the whole format counts."""
    assert only(sysctl("dev.a", form), 1.5) == (f"sysctl_dev_{name}", {}, 1.5)


def test_the_load_is_that_of_one_minute():
    """Under its plain name."""
    assert only(sysctl("vm.loadavg", "S,loadavg"), (0.5, 0.25, 0.125)) == (
        "sysctl_vm_loadavg",
        {},
        0.5,
    )


def test_aliases_are_left_out():
    """ZFS's old names are described as (LEGACY), and would come twice."""
    legacy = sysctl("vfs.zfs.arc_max", description="Max arc size (LEGACY)")
    assert samples((legacy, 1)) == {}


def test_arrays_have_an_index():
    """A sample for each element."""
    assert samples((sysctl("kern.cp_time"), (7, 8))) == {
        ("sysctl_kern_cp_time", (("index", "0"),)): 7,
        ("sysctl_kern_cp_time", (("index", "1"),)): 8,
    }


def test_members_continue_the_name():
    """Those of structs in structs, too; arrays in structs have an index, texts are none."""
    value = {"t_free": 3, "pair.first": 4, "many": (5, 6), "name": "em0"}
    assert samples((sysctl("vm.total", "S,total"), value)) == {
        ("sysctl_vm_total_t_free", ()): 3,
        ("sysctl_vm_total_pair_first", ()): 4,
        ("sysctl_vm_total_many", (("index", "0"),)): 5,
        ("sysctl_vm_total_many", (("index", "1"),)): 6,
    }


def test_texts_are_no_samples():
    """A string has no number."""
    assert samples((sysctl("kern.ostype", "A"), "FreeBSD")) == {}


def test_a_label_is_made_to_fit():
    """One with a space, one that begins with a digit, one that is Prometheus's own."""
    assert only(sysctl("a.x.n", _x="device index"), 1)[1] == {"device_index": "x"}
    assert only(sysctl("a.x.n", _x="3rd"), 1)[1] == {"label_3rd": "x"}
    assert only(sysctl("a.x.n", _x="__name__"), 1)[1] == {"label___name__": "x"}


def test_a_label_comes_once():
    """The second of the same name has a number; an array's index gives way."""
    one = sysctl("dev.0.port.1.n", _0="index", _1="index")
    assert only(one, (9,)) == (
        "sysctl_dev_port_n",
        {"index": "0", "index2": "1", "index3": "0"},
        9,
    )


def test_values_of_labels_are_escaped():
    """Quotes, backslashes and newlines of names."""
    one = sysctl('a.x"\\\n.n', **{'_x"\\\n': "what"})
    assert only(one, 1)[1] == {"what": 'x"\\\n'}


def test_leaves_of_one_name_are_one_family():
    """Whatever their labels: what a leaf lacks is empty, which is no label to Prometheus."""
    families = Sysctls([Tree("")]).families(
        Kernel(
            (sysctl("dev.x.0.n", _0="device_index"), 1),
            (sysctl("dev.x.n"), 2),
            (sysctl("dev.x.7.n", _7="unit"), 3),
            (sysctl("dev.x.1.n", _1="device_index"), 4),
        )
    )
    (family,) = families
    assert family.metric.labels == ("device_index", "unit")
    assert set(family.samples) == {(("0", ""), 1), (("", ""), 2), (("", "7"), 3), (("1", ""), 4)}


def test_the_first_of_two_counts():
    """a.b-c and a.b.c have one name: there is one sample."""
    assert samples((sysctl("a.b-c"), 1), (sysctl("a.b.c"), 2)) == {("sysctl_a_b_c", ()): 1}


def test_help_is_the_description():
    """Its first line, and the sysctls' names; leaves that are described in two ways have none."""
    kernel = Kernel(
        (sysctl("vm.swap", description="Swap that is used.\nSecond line"), 1),
        (sysctl("kern.features.a", description="A's", _a="feature"), 1),
        (sysctl("kern.features.b", description="B's", _b="feature"), 1),
        (sysctl("vm.bare"), 1),
    )
    helps = {one.metric.name: one.metric.help for one in Sysctls([Tree("")]).families(kernel)}
    assert helps == {
        "sysctl_vm_swap": "Swap that is used. From kvm(3): sysctl vm.swap.",
        "sysctl_kern_features": "From kvm(3): sysctl kern.features.*.",
        "sysctl_vm_bare": "From kvm(3): sysctl vm.bare.",
    }


def test_units_are_told():
    """To OpenMetrics, which wants them apart."""
    kernel = Kernel((sysctl("dev.t", "IK"), 20.5), (sysctl("vm.seconds_not"), 1))
    units = {one.metric.name: one.metric.unit for one in Sysctls([Tree("")]).families(kernel)}
    assert units == {"sysctl_dev_t_celsius": "celsius", "sysctl_vm_seconds_not": ""}


def test_trees_are_read_together():
    """Each with what it leaves out; a name that two of them have is one family."""
    kernel = Kernel(
        (sysctl("dev.x.0.n", _0="device_index"), 1), (sysctl("dev.x.1.n", _1="device_index"), 2)
    )
    (family,) = Sysctls([Tree("dev.x.0"), Tree("dev.x.1", ("dev.x.1.y",))]).families(kernel)
    assert family.samples == ((("0",), 1), (("1",), 2))
    assert kernel.asked == [(("dev.x.0",), ()), (("dev.x.1",), ("dev.x.1.y",))]


def test_numbers_stay_exact():
    """64 bits are no float."""
    (family,) = Sysctls([Tree("")]).families(Kernel((sysctl("vm.big"), 2**64 - 1)))
    assert family.samples == (((), 2**64 - 1),)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vm.swtch", 5),
        ("vm.total.t_free", 3),
        ("vm.total.pair.first", 4),
        ("kern.cp_time.1", 8),
        ("kern.cp_time.2", None),
        ("kern.cp_time.-1", None),
        ("kern.cp_time", None),
        ("vm.total.name", None),
        ("vm.total.no", None),
        ("vm.swtch.x", None),
        ("kern.ostype", None),
        ("no", None),
        ("no.such.thing.at.all.in.any.kernel", None),
    ],
)
def test_one_number_is_found_by_name(name, value):
    """A leaf's, a member's of a struct, an element's of an array; None for anything else."""
    kernel = Kernel(
        (sysctl("vm.swtch"), 5),
        (sysctl("vm.total"), {"t_free": 3, "pair.first": 4, "name": "em0"}),
        (sysctl("kern.cp_time"), (7, 8)),
        (sysctl("kern.ostype"), "FreeBSD"),
    )
    assert number(kernel, name) == value

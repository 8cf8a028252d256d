"""Do a module's metrics of one name make one family, which no sample spoils?"""

from __future__ import annotations

from kvm_exporter.collectors.symbols.families import Families
from kvm_exporter.collectors.symbols.options import MetricOptions


def made(*parts):
    """The families of metrics given as (options, labels, samples), and the odd ones."""
    families = Families([one for one, _, _ in parts], [labels for _, labels, _ in parts])
    found = families.of([samples for _, _, samples in parts])
    return {one.metric.name: one for one in found}, families.odd


def test_one_metric_is_one_family():
    """Samples are passed on as they are."""
    samples = [(("x",), 1), (("y",), 2.5)]
    found, odd = made((MetricOptions("a", ("b",)), ("l",), samples))
    assert found["kvm_symbol_a"].metric.labels == ("l",)
    assert list(found["kvm_symbol_a"].samples) == samples
    assert odd == {}


def test_metrics_of_one_name_are_one_family():
    """The first help counts, labels may come in any order, the same labels are added up."""
    found, odd = made(
        (MetricOptions("a", ("b",)), ("l", "m"), [(("1", "2"), 1)]),
        (MetricOptions("a", ("c",), help="A."), ("m", "l"), [(("2", "1"), 10), (("3", "4"), 5)]),
        (MetricOptions("z", ("d",)), (), []),
    )
    assert list(found) == ["kvm_symbol_a", "kvm_symbol_z"]
    family = found["kvm_symbol_a"]
    assert family.metric.labels == ("l", "m")
    assert family.metric.help.startswith("A. ")
    assert dict(family.samples) == {("1", "2"): 11, ("4", "3"): 5}
    assert found["kvm_symbol_z"].samples == ()
    assert odd == {}


def test_a_missing_metric_does_not_decide_about_labels():
    """A metric that this kernel lacks has no labels; the others' are the family's."""
    found, odd = made(
        (MetricOptions("a", ("b",)), (), []),
        (MetricOptions("a", ("c",)), ("l",), [(("1",), 3)]),
    )
    assert dict(found["kvm_symbol_a"].samples) == {("1",): 3}
    assert odd == {}


def test_other_labels_are_odd():
    """Samples with other labels than the family's are left out, and that is told."""
    found, odd = made(
        (MetricOptions("a", ("b",)), ("l",), [(("1",), 3)]),
        (MetricOptions("a", ("c",)), ("m",), [(("1",), 3)]),
        (MetricOptions("a", ("c",)), (), [((), 4)]),
    )
    assert dict(found["kvm_symbol_a"].samples) == {("1",): 3}
    assert list(odd) == ["a"]


def test_an_info_is_1():
    """Elements with the same labels do not make an info more than there."""
    found, _ = made((MetricOptions("a_info"), ("l",), [(("1",), 2), (("1",), 2)]))
    assert list(found["kvm_symbol_a_info"].samples) == [(("1",), 1)]

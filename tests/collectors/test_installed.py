"""Can an installed package bring a collector of its own?"""

from __future__ import annotations

import sys

import pytest

from kvm_exporter import collectors, config
from kvm_exporter.typed_yaml import document

MODULE = '''
"""How many guests does the house have?"""

from dataclasses import dataclass

from kvm_exporter.collectors import Collector
from kvm_exporter.metric import Metric

GUESTS = Metric("house_guests", "gauge", "Guests, not by kvm(3).", ("room",))


@dataclass(frozen=True, slots=True)
class Options:
    rooms: int = 1


def start(options):
    return lambda kvm: (GUESTS.family(((str(room),), 2) for room in range(options.rooms)),)


COLLECTOR = Collector(start, Options, (GUESTS,), "guests")
'''


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package ``house`` with a collector ``guests``, on the path as pip puts one there."""
    (tmp_path / "house.py").write_text(MODULE)
    metadata = tmp_path / "house-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: house\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{collectors.ENTRY_POINTS}]\nguests = house\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("house", None)


def test_an_installed_collector_is_configured_and_run_like_ours(installed):
    """Its name and options are keys of the configuration, and it gives its families."""
    chosen = config.decode(document.parse("collectors: {guests: {rooms: 3}}", "a.yml"))
    [settings] = chosen.collectors
    [family] = settings.collector.start(settings.options)(None)
    assert family.metric.name == "house_guests"
    assert dict(family.samples) == {("0",): 2, ("1",): 2, ("2",): 2}


def test_an_installed_collectors_options_are_checked_like_ours(installed):
    """A wrong key is told with the nearest one."""
    with pytest.raises(config.ConfigError, match=r"collectors\.guests\.room: .*rooms"):
        config.decode(document.parse("collectors: {guests: {room: 3}}", "a.yml"))


def test_an_installed_collector_runs_only_when_it_is_named(installed):
    """Without a configuration there are our own collectors, and no stranger's."""
    assert "guests" not in {one.name for one in config.default().collectors}

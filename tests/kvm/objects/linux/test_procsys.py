"""Promises of kvm/objects/linux/procsys.py."""

from __future__ import annotations

import errno
import os

import pytest

from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.linux import procsys
from kvm_exporter.kvm.objects.linux.procsys import ProcSys
from kvm_exporter.kvm.tally import Tally


class Machine:
    """A /proc/sys of files, and what reads it; ``read`` are the files that were opened."""

    def __init__(self, root):
        self.root = root
        self.tally = Tally()
        procfs = Procfs(str(root))
        self.read = []
        beginning = procfs.beginning
        procfs.beginning = lambda name, limit: self.read.append(name) or beginning(name, limit)
        self.procfs = procfs
        self.sysctls = ProcSys(procfs, self.tally)

    def add(self, name, text, mode=0o644):
        """A setting by its path."""
        path = self.root / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        path.chmod(mode)
        return path

    def values(self, *prefixes, **how):
        """Name → value."""
        found = self.sysctls.read(prefixes or ("",), **how)
        return {one.sysctl.name: one.value for one in found}


@pytest.fixture
def machine(tmp_path):
    """A /proc/sys with a few settings."""
    found = Machine(tmp_path)
    found.add("vm/swappiness", b"60\n")
    found.add("fs/file-nr", b"916\t0\t2466170\n")
    found.add("kernel/ostype", b"Linux\n")
    return found


def test_numbers_are_read(machine):
    """One, or several as an array; texts only for who asks."""
    numbers = {"vm.swappiness": 60, "fs.file-nr": (916, 0, 2466170)}
    assert machine.values() == numbers
    assert machine.values(texts=True) == numbers | {"kernel.ostype": "Linux"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"-1\n", -1),
        (b"0x1f\n", 31),
        (b"18446744073709551615\n", 2**64 - 1),
        (b"0\t-5\n", (0, -5)),
        (b"1_000\n", "1_000"),
        (b"0b11\n", "0b11"),
        (b"+5\n", "+5"),
        (b"1.5\n", "1.5"),
        (b"1,2\n", "1,2"),
        (b"0x\n", "0x"),
        (b"-\n", "-"),
        (b"9" * 30 + b"\n", "9" * 30),
        (b"\xd9\xa1\n", "\u0661"),
        (b"\xff\n", "\udcff"),
        (b"\n", None),
        (b"", None),
    ],
)
def test_what_a_number_is(machine, text, value):
    """Decimal or hexadecimal as the kernel writes them; anything else is a text, nothing none."""
    machine.add("kernel/one", text)
    assert machine.values("kernel.one", texts=True) == (
        {} if value is None else {"kernel.one": value}
    )


@pytest.mark.parametrize(
    ("prefixes", "without", "names"),
    [
        (("vm",), (), {"vm.swappiness"}),
        (("vm.swappiness", "fs"), (), {"vm.swappiness", "fs.file-nr"}),
        (("vm", "vm.swappiness"), (), {"vm.swappiness"}),
        (("",), ("fs",), {"vm.swappiness"}),
        (("no.such", "v"), (), set()),
        (("vm.swappiness.x",), (), set()),
    ],
)
def test_trees_are_chosen_by_name(machine, prefixes, without, names):
    """By whole parts; what is not there has nothing."""
    assert set(machine.values(*prefixes, without=without)) == names


def test_a_dot_in_a_part_is_a_slash(machine):
    """sysctl(8)'s spelling of a VLAN's interface."""
    machine.add("net/ipv4/conf/eth0.100/mtu", b"1500\n")
    assert machine.values("net.ipv4.conf.eth0/100") == {"net.ipv4.conf.eth0/100.mtu": 1500}
    assert machine.sysctls.one("net.ipv4.conf.eth0/100.mtu").value == 1500


@pytest.mark.parametrize(
    ("path", "labels"),
    [
        ("net/ipv4/conf/eth0/mtu", ("", "", "", "interface", "")),
        ("net/ipv6/neigh/lo/n", ("", "", "", "interface", "")),
        ("kernel/sched_domain/cpu0/domain1/flags", ("", "", "cpu", "domain", "")),
        ("net/ipv4/conf", ("", "", "")),
        ("net/core/conf/eth0/mtu", ("",) * 5),
    ],
)
def test_instances_have_labels(machine, path, labels):
    """Interfaces, and scheduling domains."""
    machine.add(path, b"1\n")
    (found,) = machine.sysctls.read((path.replace("/", "."),))
    assert found.sysctl.labels == labels


@pytest.mark.parametrize(
    "name",
    [
        *("vm/stat_refresh", "kernel/random/uuid", "fs/binfmt_misc/status"),
        *("net/ipv6/conf/lo/stable_secret", "net/ipv4/tcp_fastopen_key"),
        "net/core/netdev_rss_key",
    ],
)
def test_what_works_when_read_is_not_read(machine, name):
    """Nor is a secret, whoever asks."""
    machine.add(name, b"1\n")
    dotted = name.replace("/", ".")
    assert dotted not in machine.values(texts=True)
    assert machine.sysctls.one(dotted) is None
    assert f"sys/{name}" not in machine.read


def test_what_can_only_be_written_is_not_opened(machine):
    """Its mode says so, even to root."""
    machine.add("vm/drop_caches", b"1\n", 0o200)
    assert "vm.drop_caches" not in machine.values()
    assert "sys/vm/drop_caches" not in machine.read


def test_what_comes_and_goes_is_noticed(machine):
    """At the next collection; what stays is the same sysctl, so that its name is made once."""
    before = {one.sysctl.name: one.sysctl for one in machine.sysctls.read(("",))}
    machine.add("net/ipv4/conf/wg0/mtu", b"1420\n")
    (machine.root / "sys/fs/file-nr").unlink()
    after = {one.sysctl.name: one.sysctl for one in machine.sysctls.read(("",))}
    assert set(after) == {"vm.swappiness", "net.ipv4.conf.wg0.mtu"}
    assert after["vm.swappiness"] is before["vm.swappiness"]
    assert machine.tally.counts() == {}


def test_links_are_not_followed(machine):
    """A tree ends, whatever it has."""
    os.symlink(machine.root / "sys", machine.root / "sys/vm/loop")
    assert set(machine.values()) == {"vm.swappiness", "fs.file-nr"}


def test_a_refusal_costs_one_value(machine, monkeypatch):
    """It is counted by its errno."""
    beginning = machine.procfs.beginning

    def refused(name, limit):
        if name == "sys/vm/swappiness":
            raise OSError(errno.EIO, "no")
        return beginning(name, limit)

    monkeypatch.setattr(machine.procfs, "beginning", refused)
    assert machine.values() == {"fs.file-nr": (916, 0, 2466170)}
    assert machine.tally.counts() == {("proc sys", "EIO"): 1}


def test_one_is_found_by_its_name(machine):
    """A text, too; None for a directory and for what is not there."""
    assert machine.sysctls.one("kernel.ostype").value == "Linux"
    assert machine.sysctls.one("vm.swappiness").value == 60
    assert machine.sysctls.one("vm") is None
    assert machine.sysctls.one("vm.no") is None
    assert machine.sysctls.one("vm.swappiness.x") is None
    assert machine.sysctls.one("") is None


def test_no_name_leads_out_of_the_tree(machine):
    """Not by dots, slashes or a NUL."""
    (machine.root / "secret").write_text("7\n")
    for name in ("//.secret", "../secret", "/secret", "vm.//.//.secret", "secret\0", "..", "."):
        assert machine.sysctls.one(name) is None
        assert machine.values(name) == {}


def test_what_is_too_much_is_counted(machine, monkeypatch):
    """Files beyond those that are looked at are missing, and that is told."""
    monkeypatch.setattr(procsys, "MOST", 5)
    found = machine.values()
    assert 0 < len(found) < 2
    assert machine.tally.counts() == {("proc sys", "E2BIG"): 1}
    monkeypatch.undo()
    assert len(machine.values()) == 2

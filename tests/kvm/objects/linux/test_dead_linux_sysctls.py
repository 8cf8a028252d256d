"""Promises of kvm/objects/linux/deadsysctls.py: a dead Linux's tables of settings.

The tables are forged from the facts of include/linux/sysctl.h and fs/proc/proc_sysctl.c: a
directory is a tree of nodes, a node's place among its header's nodes is that of its entry in the
table.
"""

from __future__ import annotations

import random

import pytest
from fakes.world import target
from forge import cdecl
from forge.world import FUNC, Thing, World

from kvm_exporter.kvm.errors import KvmError, SymbolMissing
from kvm_exporter.kvm.objects.linux.deadsysctls import DeadSysctls

MACHINES = {
    "amd64": cdecl.AMD64,
    "powerpc64": cdecl.POWERPC64,
    "i386": cdecl.I386,
    "armv7": cdecl.ARMV7,
}
DECLARATIONS = """
struct rb_node { u_long __rb_parent_color; struct rb_node *rb_right; struct rb_node *rb_left; };
struct rb_root { struct rb_node *rb_node; };
struct ctl_table {
    char *procname; void *data; int maxlen; uint16_t mode; void *proc_handler; void *extra1;
};
struct ctl_node { struct rb_node node; struct ctl_table_header *header; };
struct ctl_table_header { struct ctl_table *ctl_table; int used; struct ctl_node *node; };
struct ctl_dir { int before; struct ctl_table_header header; struct rb_root root; };
struct ctl_table_set { void *is_seen; struct ctl_dir dir; };
struct ctl_table_root { struct ctl_table_set default_set; };
struct net { int id; struct ctl_table_set sysctls; };
"""
REGULAR, DIRECTORY, LINK = 0o100000, 0o040000, 0o120000


class Linux:
    """A kernel, and its settings."""

    def __init__(self, machine="amd64"):
        self.world = World(DECLARATIONS, MACHINES[machine])
        root = self.world.define("sysctl_table_root", "struct ctl_table_root", {})
        self.root = Thing(self.world, "struct ctl_dir", root.at("default_set.dir"))
        net = self.world.define("init_net", "struct net", {})
        own = Thing(self.world, "struct ctl_dir", net.at("sysctls.dir"))
        # by the set that they are of, and their names
        self.directories = {("kernel",): self.root, ("net",): own}
        self.nodes = {}
        self.handlers = {}

    def table(self, path, *entries, of="kernel"):
        """A table of (name, data, size, handler, mode) in a directory; ``of`` names the set."""
        where = self._directory((of, *filter(None, path.split("/"))))
        table = self.world.array("struct ctl_table", len(entries) + 1)
        nodes = self.world.array("struct ctl_node", len(entries))
        header = self.world.new("struct ctl_table_header", ctl_table=table[0], node=nodes[0])
        for entry, node, (name, data, size, handler, mode) in zip(
            table, nodes, entries, strict=False
        ):
            entry.set(procname=self.world.text(name), data=data, maxlen=size, mode=mode)
            entry.set(proc_handler=self.handler(handler))
            node.set(header=header)
            self.nodes.setdefault(where, []).append((name, node))

    def add(self, name, data, size, handler, mode=REGULAR | 0o644, of="kernel"):
        """One setting by its path."""
        path, _, last = name.rpartition("/")
        self.table(path, (last, data, size, handler, mode), of=of)

    def number(self, name, raw, handler, mode=REGULAR | 0o644, of="kernel"):
        """One setting with its bytes."""
        self.add(name, self.world.bytes(raw), len(raw), handler, mode, of)

    def handler(self, name):
        """The address of a function."""
        if name not in self.handlers:
            self.handlers[name] = self.world.allocate(64)
            self.world.symbol(name, self.handlers[name], 64, FUNC)
        return self.handlers[name]

    def _directory(self, parts):
        if parts not in self.directories:
            parent = self._directory(parts[:-1])
            made = self.world.new("struct ctl_dir")
            table = self.world.array("struct ctl_table", 2)
            node = self.world.new("struct ctl_node")
            table[0].set(procname=self.world.text(parts[-1]), mode=DIRECTORY | 0o555)
            made.put("header.ctl_table", table[0]).put("header.node", node)
            node.set(header=made.at("header"))
            self.directories[parts] = made
            self.nodes.setdefault(parent, []).append((parts[-1], node))
        return parts

    def open(self):
        """What reads it."""
        for parts, nodes in self.nodes.items():
            ordered = [node for _, node in sorted(nodes, key=lambda one: one[0])]
            self.directories[parts].put("root.rb_node", self._tree(ordered))
        self.target = target(self.world)
        return DeadSysctls(self.target)

    def _tree(self, nodes):
        if not nodes:
            return None
        middle = len(nodes) // 2
        nodes[middle].put("node.rb_left", self._tree(nodes[:middle]))
        nodes[middle].put("node.rb_right", self._tree(nodes[middle + 1 :]))
        return nodes[middle].address

    def values(self, *prefixes, **how):
        """Name → value."""
        return {one.sysctl.name: one.value for one in self.open().read(prefixes or ("",), **how)}

    def ints(self, *values, size=4):
        """Bytes of an array."""
        return b"".join(self.world.number(value, size) for value in values)


@pytest.fixture(params=MACHINES)
def linux(request):
    """Both word sizes, both byte orders."""
    return Linux(request.param)


def test_arrays_of_numbers_are_read(linux):
    """Of each handler's type, as many as fill the size."""
    word = linux.world.abi.pointer
    for name, raw, handler in (
        ("vm/swappiness", linux.ints(60), "proc_dointvec_minmax"),
        ("kernel/printk", linux.ints(4, 4, 1, -7), "proc_dointvec"),
        ("fs/nr_open", linux.ints(2**31), "proc_douintvec_minmax"),
        ("fs/aio-nr", linux.ints(2**32 - 1, size=word), "proc_doulongvec_minmax"),
        ("net/ipv4/tcp_sack", b"\xc8", "proc_dou8vec_minmax"),
        ("dev/tty/legacy", b"\x07\xff\xff\xff", "proc_dobool"),
        ("vm/dirty_bytes", linux.ints(9, size=word), "dirty_bytes_handler"),
    ):
        linux.number(name, raw, handler)
    assert linux.values() == {
        "vm.swappiness": 60,
        "kernel.printk": (4, 4, 1, -7),
        "fs.nr_open": 2**31,
        "fs.aio-nr": 2**32 - 1,
        "net.ipv4.tcp_sack": 200,
        "dev.tty.legacy": 1,
        "vm.dirty_bytes": 9,
    }
    assert list(linux.values()) == sorted(linux.values())


def test_times_are_converted(linux):
    """Jiffies of 4 ms to seconds, milliseconds and hundredths; towards zero, as C divides."""
    linux.world.define("tick_nsec", "u_long", 4_000_000)
    for name, value, handler in (
        ("a", 1250, "proc_dointvec_jiffies"),
        ("b", -1251, "proc_dointvec_ms_jiffies"),
        ("c", 25, "proc_dointvec_userhz_jiffies"),
        ("d", -249, "neigh_proc_dointvec_jiffies"),
    ):
        linux.number(f"kernel/{name}", linux.ints(value), handler)
    assert linux.values() == {"kernel.a": 5, "kernel.b": -5004, "kernel.c": 10, "kernel.d": 0}


@pytest.mark.parametrize("tick", [None, 0, 1, 2**40])
def test_times_without_a_clock_are_none(tick):
    """A kernel that does not tell its jiffies, or tells nonsense, loses those numbers only."""
    linux = Linux()
    if tick is not None:
        linux.world.define("tick_nsec", "u_long", tick)
    linux.number("kernel/a", linux.ints(5), "proc_dointvec_jiffies")
    linux.number("kernel/b", linux.ints(5), "proc_dointvec")
    assert linux.values() == {"kernel.b": 5}


def test_texts_are_read(linux):
    """To their NUL or their end; one of numbers is such, as /proc/sys shows it."""
    linux.number("kernel/core", b"core.%p\0junk", "proc_dostring")
    linux.number("kernel/full", b"abcd", "proc_dostring")
    linux.number("kernel/oops", b"0\0\0\0", "proc_dostring")
    linux.number("kernel/none", b"\0\0\0\0", "proc_dostring")
    assert linux.values() == {"kernel.oops": 0}
    assert linux.values(texts=True) == {
        "kernel.core": "core.%p",
        "kernel.full": "abcd",
        "kernel.oops": 0,
    }


def test_a_table_has_several_entries(linux):
    """Each by its place; the tree is in the order of the names, and the table is not."""
    entries = []
    for name, value in (("zz", 1), ("aa", 2), ("mm", 3)):
        data = linux.world.bytes(linux.ints(value))
        entries.append((name, data, 4, "proc_dointvec", REGULAR | 0o644))
    linux.table("kernel", *entries)
    linux.number("kernel/bb", linux.ints(4), "proc_dointvec")
    assert linux.values() == {"kernel.aa": 2, "kernel.bb": 4, "kernel.mm": 3, "kernel.zz": 1}


def test_the_first_namespaces_are_read_too(linux):
    """Settings of a network namespace are but links in the kernel's own directories."""
    linux.add("net/ipv4", 0, 0, "proc_dointvec", LINK | 0o777)
    linux.number("vm/here", linux.ints(1), "proc_dointvec")
    name = "net/ipv4/conf/eth0/forwarding"
    linux.number(name, linux.ints(1), "devinet_sysctl_forward", of="net")
    setting, other = linux.open().read(("",))
    assert (setting.sysctl.name, other.sysctl.name) == (name.replace("/", "."), "vm.here")
    assert setting.sysctl.labels == ("", "", "", "interface", "")


@pytest.mark.parametrize(
    ("name", "handler", "mode"),
    [
        ("vm/drop_caches", "proc_dointvec", 0o200),
        ("kernel/own", "somebodys_handler", 0o644),
        ("net/ipv6/conf/lo/stable_secret", "proc_dointvec", 0o600),
        ("kernel/random/uuid", "proc_dointvec", 0o444),
    ],
)
def test_what_is_not_told_is_left_out(name, handler, mode):
    """What can only be written, has a handler that is not known, or is a secret."""
    linux = Linux()
    linux.number(name, linux.ints(1), handler, REGULAR | mode)
    linux.number("vm/here", linux.ints(1), "proc_dointvec")
    assert linux.values(texts=True) == {"vm.here": 1}
    assert linux.open().one(name.replace("/", ".")) is None


def test_settings_are_chosen_by_name():
    """Below a prefix, without others; one by its whole name."""
    linux = Linux()
    for name in ("vm/a", "vm/b/c", "vmx", "fs/d"):
        linux.number(name, linux.ints(1), "proc_dointvec")
    assert set(linux.values("vm")) == {"vm.a", "vm.b.c"}
    assert set(linux.values("", without=("vm.b",))) == {"vm.a", "vmx", "fs.d"}
    assert linux.open().one("fs.d").value == 1
    assert linux.open().one("fs") is None


@pytest.mark.parametrize(("data", "size"), [(0, 4), (0x1000, 4), (None, 0), (None, -4), (None, 3)])
def test_what_has_no_bytes_has_no_value(data, size):
    """No data, none that is there, no size, or less than a number's."""
    linux = Linux()
    at = linux.world.bytes(bytes(8)) if data is None else data
    linux.add("vm/none", at, size, "proc_dointvec")
    linux.number("vm/here", linux.ints(1), "proc_dointvec")
    assert linux.values() == {"vm.here": 1}


def test_a_kernel_without_tables_says_so():
    """No symbol is an error and no empty tree."""
    world = World(DECLARATIONS, cdecl.AMD64)
    with pytest.raises(SymbolMissing):
        list(DeadSysctls(target(world)).read(("",)))


@pytest.mark.parametrize("seed", range(30))
def test_any_bytes_give_values_or_nothing(seed):
    """Of tables whose memory is damaged: no other error, and an end."""
    linux = Linux()
    linux.world.define("tick_nsec", "u_long", 4_000_000)
    for at, handler in enumerate(("proc_dointvec", "proc_dostring", "proc_dointvec_jiffies") * 8):
        linux.number(f"d{at % 5}/e{at % 3}/n{at}", linux.ints(at, 7), handler)
    sysctls = linux.open()
    linux.world.damage(random.Random(seed), 60)
    try:
        found = list(sysctls.read(("",), texts=True))
    except KvmError:
        return
    assert len(found) <= 1000
    assert all(isinstance(one.value, int | str | tuple) for one in found)

"""What does a Linux kernel keep of its processes?  A World with tasks, their files and names.

    people = Tasks(World(MODERN))
    people.task(1, b"init")
    people.task(7, b"sh", parent=1, members={"utime": 10**9})
    people.task(8, b"sh", tgid=7)                               # a thread of it
    people.finish()

Written from the facts of kernel/fork.c, kernel/pid.c, fs/dcache.c and their kin; which of the two
kernels of forge/linux_structs.py it is, the declarations say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from forge.world import Thing, World

PF_KTHREAD, PF_WQ_WORKER, PF_EXITING = 0x200000, 0x20, 0x4
UNLIMITED = -1
INUMS = {
    "cgroup": 4026531835,
    "ipc": 4026531839,
    "mnt": 4026531841,
    "net": 4026531840,
    "pid": 4026531836,
    "time": 4026531834,
    "user": 4026531837,
    "uts": 4026531838,
}
STRUCTS = {
    "cgroup": "struct cgroup_namespace",
    "ipc": "struct ipc_namespace",
    "mnt": "struct mnt_namespace",
    "net": "struct net",
    "time": "struct time_namespace",
    "user": "struct user_namespace",
    "uts": "struct uts_namespace",
}
CSS_ONLINE = 2
SCHEDULER = range(0xC0101000, 0xC0102000)
"""Where its functions are."""
CPUS, PER_CPU, TEMPLATE = 3, 4096, 0x1000
"""How many there are, bytes that each has of its own, and where symbols say that these lie."""


class Tasks:
    """Tasks by pid, and what they share."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.modern = "__state" in world.c.layout("task_struct")
        self.tasks: dict[int, Thing] = {}
        self.signals: dict[int, Thing] = {}
        self.pids: dict[int, Thing] = {}
        self._threads: dict[int, list[Thing]] = {}
        self.idle = world.define("init_task", "struct task_struct", {"comm": b"swapper/0"})
        self.namespace = world.define("init_pid_ns", "struct pid_namespace", {})
        self.namespace.put("ns.inum", INUMS["pid"])
        self.spaces = {
            name: world.new(struct)
            for name, struct in STRUCTS.items()
            if self.modern or name != "time"
        }
        for name, space in self.spaces.items():
            space.put("ns.inum", INUMS[name])
        world.symbol("__sched_text_start", SCHEDULER.start)
        world.symbol("__sched_text_end", SCHEDULER.stop)
        self._cpus()
        self.proxy = self.namespaces()
        self.cred = self.credentials()
        self.cgroups = Cgroups(world)
        self.group = self.cgroups.set_of(self.cgroups.default)
        self.files = Files(world)

    def _cpus(self) -> None:
        """Three that could be, of which each has a copy of what is per CPU."""
        world = self.world
        world.define("nr_cpu_ids", "u_int", CPUS)
        world.define("__cpu_possible_mask", "u_long", (1 << CPUS) - 1)
        areas = [world.allocate(PER_CPU) for _ in range(CPUS)]
        offsets = [area - TEMPLATE for area in areas]
        world.define("__per_cpu_offset", "u_long", offsets)
        self._areas = areas
        self._used = 0

    def per_cpu(self, *shares: Sequence[int]) -> int:
        """A pointer to 32-bit numbers of each CPU: ``shares`` has those of the first, and so on."""
        at = self._used
        self._used += 4 * len(shares[0])
        for area, numbers in zip(self._areas, shares, strict=True):
            for place, number in enumerate(numbers):
                self.world.write(area + at + 4 * place, self.world.number(number, 4))
        return TEMPLATE + at

    def pages(self, *counts: int, shares: Sequence[Sequence[int]] = ()) -> dict[str, object]:
        """mm->rss_stat: of files, anonymous, swapped, shared; each CPU's ``shares`` of them."""
        if not self.modern:
            return {"rss_stat": {"count": [{"counter": count} for count in counts]}}
        first = self.per_cpu(*(shares or [[0] * len(counts)] * CPUS))
        return {
            "rss_stat": [
                {"count": count, "counters": first + 4 * at} for at, count in enumerate(counts)
            ]
        }

    def namespaces(self, **other: Thing) -> Thing:
        """A struct nsproxy; ``other`` namespaces than the first ones."""
        spaces = {**self.spaces, **other}
        members = {f"{name}_ns": spaces[name] for name in spaces if name != "user"}
        members["pid_ns_for_children"] = other.get("pid_for_children", self.namespace)
        if self.modern:
            members["time_ns_for_children"] = spaces["time"]
        return self.world.new("struct nsproxy", **members)

    def credentials(self, *, groups: Sequence[int] = (), **numbers: int) -> Thing:
        """A struct cred: ``euid=1000`` …, and its groups."""
        world = self.world
        info = world.allocate(world.c.size("struct group_info") + 4 * len(groups))
        listed = Thing(world, "struct group_info", info).set(ngroups=len(groups))
        for at, group in enumerate(groups):
            world.write(listed.at("gid") + 4 * at, world.number(group, 4))
        given = {name: {"val": number} for name, number in numbers.items()}
        user = self.spaces["user"]
        return world.new("struct cred", user_ns=user, group_info=listed, **given)

    def pid(self, number: int, inner: Sequence[int] = ()) -> Thing:
        """The struct pid of a number; ``inner`` are those that deeper namespaces have for it."""
        if number not in self.pids:
            world = self.world
            size = world.c.size("struct pid") + len(inner) * world.c.size("struct upid")
            size += world.c.size("struct upid")
            thing = Thing(world, "struct pid", world.allocate(size)).set(level=len(inner))
            for at, one in enumerate((number, *inner)):
                upid = thing.at("numbers") + at * world.c.size("struct upid")
                space = self.namespace
                if at:
                    space = world.new("struct pid_namespace", level=at)
                    space.put("ns.inum", INUMS["pid"] + 1000 * at)
                Thing(world, "struct upid", upid).set(nr=one, ns=space)
            self.pids[number] = thing
        return self.pids[number]

    def task(
        self,
        pid: int,
        comm: bytes = b"forged",
        *,
        tgid: int | None = None,
        parent: int = 0,
        group: int = 0,
        session: int = 0,
        cred: Thing | None = None,
        members: Mapping[str, object] | None = None,
        signal: Mapping[str, object] | None = None,
        inner: Sequence[int] = (),
    ) -> Thing:
        """A process, or with ``tgid`` a thread of one that is there."""
        leader = tgid is None
        tgid = pid if tgid is None else tgid
        cred = cred or self.cred
        above = self.tasks.get(parent, self.idle)
        task = self.world.new("struct task_struct", pid=pid, tgid=tgid, comm=comm)
        task.set(real_parent=above, parent=above, real_cred=cred, nsproxy=self.proxy)
        task.set(cgroups=self.group, files=self.files.none, fs=self.files.fs)
        task.set(prio=120, static_prio=120)
        self.tasks[pid] = task
        if leader:
            self.signals[pid] = self._signal(group, session, signal or {})
            self._threads[pid] = []
        self._threads[tgid].append(task)
        task.set(signal=self.signals[tgid], group_leader=self.tasks[tgid])
        self._give_pid(task, self.pid(pid, inner), group, session)
        return task.set(**(members or {}))

    def _signal(self, group: int, session: int, members: Mapping[str, object]) -> Thing:
        signal = self.world.new("struct signal_struct")
        signal.put("rlim[7].rlim_cur", 1024)
        signal.put("rlim[7].rlim_max", 4096)
        if self.modern and group:
            signal.put("pids[2]", self.pid(group))
        if self.modern and session:
            signal.put("pids[3]", self.pid(session))
        for name, value in members.items():
            signal.put(name, value)
        return signal

    def _give_pid(self, task: Thing, pid: Thing, group: int, session: int) -> None:
        if self.modern:
            task.set(thread_pid=pid)
            pid.put("tasks[0].first", task.at("pid_links[0]"))
            return
        task.put("pids[0].pid", pid)
        pid.put("tasks[0].first", task.at("pids[0].node"))
        if group:
            task.put("pids[1].pid", self.pid(group))
        if session:
            task.put("pids[2].pid", self.pid(session))

    def finish(self) -> Tasks:
        """Link the lists, and the table of pids."""
        leaders = [self.tasks[pid] for pid in self._threads]
        ring(self.world, self.idle.at("tasks"), [task.at("tasks") for task in leaders])
        for pid, threads in self._threads.items():
            nodes = [task.at("thread_node") for task in threads]
            ring(self.world, self.signals[pid].at("thread_head"), nodes)
            self.signals[pid].set(nr_threads=len(threads))
        self._table()
        return self

    def _table(self) -> None:
        entries = {number: thing.address for number, thing in self.pids.items()}
        root = Tree(self.world, self.modern).build(entries)
        head = "idr_rt.xa_head" if self.modern else "idr_rt.rnode"
        self.namespace.put(f"idr.{head}", root)


class Tree:
    """A tree of 64 slots a node: an xarray's, or the older radix tree's."""

    def __init__(self, world: World, modern: bool) -> None:
        self.world = world
        self.node = "struct xa_node" if modern else "struct radix_tree_node"
        self.tag = 2 if modern else 1

    def build(self, entries: Mapping[int, int]) -> int:
        """What its root points at."""
        if set(entries) <= {0}:
            return entries.get(0, 0)
        shift = 0
        while max(entries) >> shift + 6:
            shift += 6
        return self._node(entries, shift)

    def _node(self, entries: Mapping[int, int], shift: int) -> int:
        node = self.world.new(self.node, shift=shift)
        for slot in {number >> shift for number in entries}:
            below = {
                number & (1 << shift) - 1: entry
                for number, entry in entries.items()
                if number >> shift == slot
            }
            value = self._node(below, shift - 6) if shift else below[0]
            node.put(f"slots[{slot}]", value)
        return node.address + self.tag


def ring(world: World, head: int, nodes: Sequence[int]) -> None:
    """Link the struct list_head at ``head`` and those at ``nodes``."""
    size = world.abi.pointer
    whole = [head, *nodes]
    for at, node in enumerate(whole):
        world.write(node, world.pointer(whole[(at + 1) % len(whole)]))
        world.write(node + size, world.pointer(whole[at - 1]))


class Cgroups:
    """Hierarchies, and their groups."""

    def __init__(self, world: World, *, visible: bool = True) -> None:
        self.world = world
        self.root = world.define("cgrp_dfl_root", "struct cgroup_root", {"name": b""})
        self.visible = world.define("cgrp_dfl_visible", "u_char", int(visible))
        self.head = world.define("cgroup_roots", "struct list_head", {"next": 0})
        self.roots = [self.root]
        ring(world, self.head.address, [self.root.at("root_list")])
        self.default = self.group(self.root)

    def hierarchy(self, name: bytes) -> Thing:
        """Another one, of version 1; the list has the last one first."""
        root = self.world.new("struct cgroup_root", name=name, hierarchy_id=len(self.roots))
        self.roots.insert(0, root)
        ring(self.world, self.head.address, [one.at("root_list") for one in self.roots])
        return root

    def group(self, root: Thing, *names: bytes, online: bool = True) -> Thing:
        """A struct cgroup at a path of names below the root of a hierarchy."""
        world = self.world
        above = "__parent" if "__parent" in world.c.layout("kernfs_node") else "parent"
        node = world.new("struct kernfs_node", name=world.text(b""))
        for name in names:
            node = world.new("struct kernfs_node", name=world.text(name), **{above: node})
        made = world.new("struct cgroup", kn=node, root=root)
        return made.put("self.flags", CSS_ONLINE * online)

    def set_of(self, default: Thing, *others: Thing) -> Thing:
        """A struct css_set: its group of version 2, and those of other hierarchies."""
        world = self.world
        made = world.new("struct css_set", dfl_cgrp=default)
        links = [world.new("struct cgrp_cset_link", cgrp=one, cset=made) for one in others]
        ring(world, made.at("cgrp_links"), [link.at("cgrp_link") for link in links])
        return made


class Files:
    """Mounts, directories, open files and their tables."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.none = self.table({})
        self.top = self.directory(b"/", None)
        self.mount = self.mounted(self.top)
        self.fs = self.world.new("struct fs_struct", root=self.path(self.mount, self.top))

    def directory(self, name: bytes, parent: Thing | None, *, gone: bool = False) -> Thing:
        """A struct dentry; of no parent the root of a file system."""
        world = self.world
        label = {"name": world.text(name), "len": len(name)}
        dentry = world.new("struct dentry", d_name=label, d_inode=world.new("struct inode"))
        dentry.put("d_parent", dentry if parent is None else parent)
        dentry.put("d_hash.pprev", 0 if gone or parent is None else 0xFFFF0001)
        return dentry

    def mounted(self, root: Thing, on: Thing | None = None, at: Thing | None = None) -> Thing:
        """A struct mount of a file system with that root; of none on itself."""
        mount = self.world.new("struct mount", mnt_mountpoint=at or root)
        mount.put("mnt.mnt_root", root)
        return mount.set(mnt_parent=on or mount)

    def path(self, mount: Thing, dentry: Thing) -> dict[str, object]:
        """A struct path."""
        return {"mnt": mount.at("mnt"), "dentry": dentry}

    def file(self, mount: Thing, dentry: Thing, *, flags: int = 0, pos: int = 0) -> Thing:
        """A struct file."""
        path = self.path(mount, dentry)
        return self.world.new("struct file", f_path=path, f_flags=flags, f_pos=pos)

    def nameless(
        self, function: str, name: bytes = b"", inode: int = 0, **members: object
    ) -> tuple[Thing, Thing]:
        """A mount and a dentry that a function names, which has a symbol."""
        world = self.world
        root = self.directory(b"/", None)
        known = {one.name: one.address for one in world.symbols}
        if function not in known:
            known[function] = world.allocate(16)
            world.symbol(function, known[function])
        operations = world.new("struct dentry_operations", d_dname=known[function])
        dentry = self.directory(name, None).set(d_op=operations, **members)
        Thing(world, "struct inode", dentry.get("d_inode")).set(i_ino=inode)
        return self.mounted(root), dentry

    def table(
        self, files: Mapping[int, Thing], closed: Sequence[int] = (), size: int = 64
    ) -> Thing:
        """A struct files_struct with a table of ``size`` rows; exec(2) closes the ``closed``."""
        world = self.world
        rows = [files.get(at, 0) for at in range(size)]
        pointers = b"".join(
            world.pointer(one.address if isinstance(one, Thing) else one) for one in rows
        )
        table = world.new("struct fdtable", max_fds=size, fd=world.bytes(pointers))
        table.set(open_fds=self._bits(files, size), close_on_exec=self._bits(closed, size))
        return world.new("struct files_struct", fdt=table)

    def _bits(self, numbers: Sequence[int] | Mapping[int, Thing], size: int) -> int:
        width = 8 * self.world.abi.pointer
        words = [0] * -(-size // width)
        for number in numbers:
            words[number // width] |= 1 << number % width
        return self.world.bytes(b"".join(self.world.number(one, width // 8) for one in words))

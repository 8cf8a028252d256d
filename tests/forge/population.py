"""What does a kernel keep of its processes?  A World with processes, threads, files and names.

    people = Population(World(MODERN))
    people.add(1, b"init", members={"p_flag": 0x4000})
    people.add(2, b"sh", parent=1, threads=[{"td_tid": 100100}, {"td_tid": 100101}])
    people.finish()

Written from the facts of sys/kern/kern_proc.c, kern_descrip.c, kern_tc.c, vfs_cache.c; which of the
two kernels of forge/kernel_structs.py it is, the declarations say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from forge.world import Thing, World

HZ = 1000
TICKS = 2**31 + 5_000_000
"""Of an int that has overflowed: the kernel has run for weeks."""

TICK_RATE = 2_000_000_000
BOOT = 1_795_000_000
BOOT_FRACTION = 3 << 62
"""0.75 seconds, in 2^-64ths."""

NORMAL, ZOMBIE = 1, 2
RUNNING, INHIBITED = 4, 1
SLEEPING, ON_LOCK = 2, 8
CHAINS = 8
LOCKS = 4


class Population:
    """Processes by pid, and what they share."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.modern = "cr_gid" in world.c.layout("ucred")
        self.processes: dict[int, Thing] = {}
        self.threads: dict[int, list[Thing]] = {}
        self.host = world.define("prison0", "struct prison", {"pr_id": 0, "pr_name": b"0"})
        self.space0 = world.new("struct vmspace")
        self.login_class = world.new("struct loginclass", lc_name=b"default")
        self.system = self.system_vector(b"FreeBSD ELF64")
        self._clock()

    def _clock(self) -> None:
        world = self.world
        world.define("hz", "int", HZ)
        world.define("ticks", "int", TICKS)
        boot = {"sec": BOOT, "frac": BOOT_FRACTION}
        world.symbol("tc_cpu_ticks", 0xFFFF1000, type_=2)
        world.define("cpu_ticks", "pointer", 0xFFFF2000)
        world.define("cpu_tick_frequency", "uint64_t", TICK_RATE)
        if self.modern:
            counter = world.new("struct timecounter", tc_frequency=1)
            hands = world.new("struct timehands", th_boottime=boot, th_counter=counter)
            world.define("timehands", "pointer", hands)
            ule = world.define("sched_ule_instance", "struct sched_instance", {"load": 1})
            world.define("sched_4bsd_instance", "struct sched_instance", {"load": 1})
            world.define("active_sched", "pointer", ule)
        else:
            world.define("boottimebin", "struct bintime", boot)

    def system_vector(self, name: bytes, **members: object) -> Thing:
        """A struct sysentvec."""
        flags = 0x200 if self.world.abi.pointer == 8 else 0x100
        given = {"sv_name": self.world.text(name), "sv_flags": flags, **members}
        return self.world.new("struct sysentvec", **given)

    def credentials(
        self, *, uid: int = 0, gid: int = 0, groups: Sequence[int] = (), **members: object
    ) -> Thing:
        """A struct ucred; ``groups`` beside the effective one."""
        world = self.world
        kept = list(groups) if self.modern else [gid, *groups]
        size = world.c.size("struct ucred")
        cred = Thing(world, "struct ucred", world.allocate(size))
        array = world.bytes(b"".join(world.number(one, 4) for one in kept)) if kept else 0
        cred.set(
            cr_uid=uid,
            cr_ruid=uid,
            cr_svuid=uid,
            cr_rgid=gid,
            cr_svgid=gid,
            cr_ngroups=len(kept),
            cr_groups=array,
            cr_prison=self.host,
            cr_loginclass=self.login_class,
        )
        return (cred.put("cr_gid", gid) if self.modern else cred).set(**members)

    def terminal(self, inode: int, session: Thing, group: Thing | None) -> Thing:
        """A struct tty whose device has that inode."""
        device = self.world.new("struct cdev_priv", cdp_inode=inode)
        return self.world.new(
            "struct tty", t_dev=device.at("cdp_c"), t_session=session, t_pgrp=group
        )

    def session(self, sid: int, login: bytes = b"") -> Thing:
        """A struct session."""
        return self.world.new("struct session", s_sid=sid, s_login=login)

    def group(self, pgid: int, session: Thing) -> Thing:
        """A struct pgrp."""
        return self.world.new("struct pgrp", pg_id=pgid, pg_session=session)

    def add(
        self,
        pid: int,
        comm: bytes,
        *,
        state: int = NORMAL,
        parent: int | None = None,
        threads: Sequence[Mapping[str, object]] = ({},),
        members: Mapping[str, object] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> Thing:
        """A process of those threads; ``more`` by paths (``p_ru.ru_minflt``)."""
        world = self.world
        process = world.new("struct proc")
        usual: dict[str, object] = {
            "p_pid": pid,
            "p_comm": comm,
            "p_state": state,
            "p_numthreads": len(threads),
            "p_sysent": self.system,
            "p_vmspace": self.space0,
            "p_stats": world.new("struct pstats"),
            "p_pptr": self.processes.get(parent) if parent is not None else None,
        }
        if self.modern:
            usual["p_oppid"] = parent or 0
        process.set(**{**usual, **(members or {})})
        for path, value in (more or {}).items():
            process.put(path, value)
        if "p_ucred" not in (members or {}):
            process.put("p_ucred", self.credentials())
        if "p_pgrp" not in (members or {}):
            process.put("p_pgrp", self.group(pid, self.session(pid)))
        self.processes[pid] = process
        self.threads[pid] = [
            self._thread(process, 100_000 + 10 * pid + at, one) for at, one in enumerate(threads)
        ]
        world.tailq(process, self.threads[pid], "td_plist", "p_threads")
        return process

    def _thread(self, process: Thing, tid: int, members: Mapping[str, object]) -> Thing:
        """A struct thread with its struct td_sched behind it; the latter's members are ``ts_…``."""
        world = self.world
        size = world.c.size("struct thread")
        start = world.allocate(size + world.c.size("struct td_sched"))
        thread = Thing(world, "struct thread", start)
        scheduler = Thing(world, "struct td_sched", start + size)
        usual = {
            "td_tid": tid,
            "td_proc": process,
            "td_state": INHIBITED,
            "td_oncpu": -1,
            "td_slptick": TICKS,
        }
        for path, value in {**usual, **members}.items():
            (scheduler if path.startswith("ts_") else thread).put(path, value)
        return thread

    def finish(self) -> World:
        """Link all processes into the kernel's lists, the newest first as fork(2) does."""
        world = self.world
        newest = list(reversed(self.processes.values()))
        living = [one for one in newest if one.get("p_state") != ZOMBIE]
        dead = [one for one in newest if one.get("p_state") == ZOMBIE]
        world.list(world.define("allproc", "struct proclist", {}), living, "p_list")
        if not self.modern:
            world.list(world.define("zombproc", "struct proclist", {}), dead, "p_list")
        chains = world.array("struct proclist", CHAINS)
        for number, chain in enumerate(chains):
            some = [one for one in newest if one.get("p_pid") % CHAINS == number]
            if not self.modern:
                some = [one for one in some if one not in dead]
            world.list(chain, some, "p_hash")
        world.define("pidhashtbl", "pointer", chains[0])
        world.define("pidhash", "u_long", CHAINS - 1)
        if self.modern:
            world.define("pidhashlock", "u_long", LOCKS - 1)
        return world

    # files

    def open(self, pid: int, files: Mapping[int, Thing], size: int = 20) -> Thing:
        """Give the process a table of ``size`` descriptors, of which these are open."""
        world = self.world
        row = world.c.size("struct filedescent")
        first = world.c.offset("struct fdescenttbl", "fdt_ofiles")
        table = Thing(world, "struct fdescenttbl", world.allocate(first + row * size))
        table.put("fdt_nfiles", size)
        for number, file in files.items():
            entry = Thing(world, "struct filedescent", table.address + first + row * number)
            entry.put("fde_file", file)
        filedesc = world.new("struct filedesc", fd_files=table, fd_refcnt=1)
        self.processes[pid].put("p_fd", filedesc)
        return filedesc

    # names

    def directory(self, parent: Thing, name: bytes) -> Thing:
        """A vnode of that name in ``parent``."""
        world = self.world
        vnode = world.new("struct vnode", v_mount=parent.get("v_mount"))
        start = world.c.offset("struct namecache", "nc_name")
        size = max(start + len(name) + 1, world.c.size("struct namecache"))
        entry = Thing(world, "struct namecache", world.allocate(size))
        entry.set(nc_dvp=parent, nc_nlen=len(name))
        world.write(entry.address + start, name)
        world.tailq(vnode, [entry], "nc_dst", "v_cache_dst")
        return vnode

    def root(self) -> Thing:
        """The root directory."""
        mount = self.world.new("struct mount")
        vnode = self.world.new("struct vnode", v_mount=mount, v_vflag=1)
        self.world.define("rootvnode", "pointer", vnode)
        return vnode

    def mounted(self, on: Thing) -> Thing:
        """The root of a file system that is mounted on a directory."""
        mount = self.world.new("struct mount", mnt_vnodecovered=on)
        return self.world.new("struct vnode", v_mount=mount, v_vflag=1)

"""What would all of a FreeBSD's memory hold?  One World with the system and its processes.

The structs of forge/system_structs.py and of forge/kernel_structs.py, which know different members
of the same, are made one; and so are the worlds that system_world.py and population.py fill.
"""

from __future__ import annotations

from forge import kernel_structs, system_structs, system_world
from forge.crashed import BASES
from forge.machines import EXPORTER
from forge.merged import merge
from forge.population import SLEEPING, TICK_RATE, ZOMBIE, Population
from forge.world import World


def machine() -> World:
    """A kernel as of 15 on amd64: all of system_world.modern, and processes."""
    world = World(merge(kernel_structs.MODERN, system_structs.MODERN), base=BASES["amd64"])
    system(world)
    people = Population(world)
    processes(people)
    people.finish()
    people.host.set(pr_name=b"0", pr_path=b"/", pr_hostname=system_world.HOST.encode())
    once(world)
    return world


def system(world: World) -> None:
    """What system_world.modern puts into a world, but its processes."""
    cpus = system_world.Cpus(world)
    pointers = {name: cpus.counter(parts) for name, parts in system_world.COUNTERS.items()}
    world.define("vm_cnt", "struct vmmeter", pointers | system_world.LEVELS)
    system_world.integers(world)
    system_world.domains(world)
    hands = world.new(
        "struct timehands",
        th_counter=world.new("struct timecounter", tc_frequency=1),
        th_boottime={"sec": system_world.BOOT[0], "frac": system_world.BOOT[1]},
        th_offset={"sec": system_world.UPTIME[0], "frac": system_world.UPTIME[1]},
    )
    world.define("timehands", "pointer", hands)
    system_world.common(world)
    system_world.network(world, cpus)


def processes(people: Population) -> None:
    """The kernel, init, a shell, a server of two threads, one in a jail, a zombie, an exporter.

    A process may name itself anything: the one in the jail sets a terminal's title.
    """
    world = people.world
    world.define("thread0_st", "struct thread", {"td_base_pri": 41})
    people.add(0, b"kernel", members={"p_flag": 0x204}, threads=[{"td_name": b"swapper"}])
    people.add(1, b"init", parent=0, members={"p_flag": 0x4000})
    words = b"sh\0-c\0echo 'two words'\0"
    arguments = world.bytes(world.number(1, 4) + world.number(len(words), 4) + words)
    waits = {"td_inhibitors": SLEEPING, "td_wchan": 0x1000, "td_wmesg": world.text("wait")}
    waits |= {"td_flags": 0x8}  # TDF_SINTR: a signal would wake it
    used = {"p_rux.rux_runtime": TICK_RATE, "p_rux.rux_uticks": 3, "p_rux.rux_sticks": 1}
    people.add(40, b"sh", parent=1, members={"p_args": arguments}, more=used, threads=[waits])
    busy = {"td_state": 4, "td_oncpu": 2, "td_name": b"worker"}
    people.add(41, b"postgres", parent=1, threads=[{"td_name": b"main"}, busy])
    jailed = people.credentials(uid=70, cr_prison=world.prisons[3])
    people.add(50, b"\x1b]0;nginx\a", parent=1, members={"p_ucred": jailed})
    people.add(60, b"gone", state=ZOMBIE, parent=40)
    people.add(EXPORTER, b"kvm_exporter", parent=1)


def once(world: World) -> None:
    """Of two symbols with one name keep the system's, but the processes' host and clock rates."""
    kept = {one.name: one for one in reversed(world.symbols)}
    kept |= {one.name: one for one in world.symbols if one.name in ("prison0", "hz", "ticks")}
    world.symbols[:] = kept.values()

"""Are arguments, environment and program of a dead kernel's processes found, wherever they lie?"""

from __future__ import annotations

import struct

import pytest
from fakes.world import UserMemory, target
from forge import cdecl
from forge.kernel_structs import MODERN, OLD
from forge.population import ZOMBIE, Population
from forge.world import World

from kvm_exporter.kvm.errors import Fault, FormatError, KvmError, ProcessGone, Unsupported
from kvm_exporter.kvm.objects.freebsd import args

KERNELS = [MODERN, OLD]
ABIS = [cdecl.AMD64, cdecl.I386, cdecl.POWERPC64, cdecl.POWERPC]
STACK = 0x7FFF0000
P_SYSTEM, P_WEXIT = 0x200, 0x2000


class Space:
    """A process's own memory, being filled."""

    def __init__(self, people: Population, pid: int, *, narrow: bool = False):
        self.world = world = people.world
        self.space = world.new("struct vmspace")
        self.pmap = self.space.at("vm_pmap")
        self.pointer = 4 if narrow else world.abi.pointer
        self.at = 0x10000
        size = 16 if self.pointer == 4 else 32
        flags = 0x100 if self.pointer == 4 else 0x200
        self.ps_strings = STACK - size
        system = people.system_vector(b"x", sv_psstrings=self.ps_strings, sv_flags=flags)
        if people.modern:
            self.space.put("vm_stacktop", STACK)
            system.set(sv_psstringssz=size, sv_psstrings=0)
        people.add(pid, b"x", members={"p_vmspace": self.space, "p_sysent": system})

    def put(self, data: bytes) -> int:
        at = self.at
        self.at += -(-len(data) // 16) * 16
        self.world.user(self.pmap, at, data)
        return at

    def vector(self, strings) -> int:
        places = [self.put(one + b"\0") if one is not None else 0 for one in strings]
        return self.put(b"".join(self.word(place) for place in places) + self.word(0))

    def word(self, value: int) -> bytes:
        return self.world.number(value, self.pointer)

    def fill(self, arguments, environment, *, count=None) -> None:
        gap = b"\0" * (self.pointer - 4)
        number = self.world.number
        numbers = (len(arguments) if count is None else count, len(environment))
        words = [
            self.word(self.vector(arguments)) + number(numbers[0], 4) + gap,
            self.word(self.vector(environment)) + number(numbers[1], 4) + gap,
        ]
        self.world.user(self.pmap, self.ps_strings, b"".join(words))


def users(world: World):
    """The processes' memory."""

    def of(pmap: int):
        return UserMemory(world.users.get(pmap, {}), world.page_size)

    return of


ARGUMENTS = [b"a-program", b"", b"two words", "é".encode(), b"\xff", b"x" * 9000]
ENVIRONMENT = [b"HOME=/root", b"no pair", b""]
TEXTS = ("a-program", "", "two words", "é", "\udcff", "x" * 9000)


@pytest.mark.parametrize("abi", ABIS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_own_memory(kernel, abi):
    """What a process wrote for ps(1) is read from its own pages, across them and in any ABI."""
    people = Population(World(kernel, abi))
    Space(people, 7).fill(ARGUMENTS, ENVIRONMENT)
    world = people.finish()
    dead = target(world)
    assert args.arguments_from_memory(dead, users(world), 7) == TEXTS
    assert args.environment_from_memory(dead, users(world), 7) == ("HOME=/root", "no pair", "")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("abi", [cdecl.AMD64, cdecl.POWERPC64])
def test_narrow_process(kernel, abi):
    """A 32-bit process on a 64-bit kernel has its own form of pointers."""
    people = Population(World(kernel, abi))
    Space(people, 7, narrow=True).fill([b"a", b"b"], [b"C=d"])
    world = people.finish()
    assert args.arguments_from_memory(target(world), users(world), 7) == ("a", "b")
    assert args.environment_from_memory(target(world), users(world), 7) == ("C=d",)


@pytest.mark.parametrize("kernel", KERNELS)
def test_cached(kernel):
    """Short arguments are the kernel's own copy, which needs none of the process's memory."""
    people = Population(World(kernel))
    world = people.world
    pargs = world.bytes(struct.pack("<II", 1, 11) + b"sh\0-c\0\0x y\0" + b"more")
    people.add(7, b"x", members={"p_args": pargs})
    people.finish()
    assert args.arguments_from_memory(target(world), None, 7) == ("sh", "-c", "", "x y")


@pytest.mark.parametrize("length", [0, 2**19 + 1, 2**32 - 1])
def test_damaged_cache(length):
    """A length that no arguments have is an error, not so much memory."""
    people = Population(World(MODERN))
    pargs = people.world.bytes(struct.pack("<II", 1, length) + b"sh\0")
    people.add(7, b"x", members={"p_args": pargs})
    with pytest.raises(FormatError, match="bytes of arguments"):
        args.arguments_from_memory(target(people.finish()), None, 7)


def test_null_ends_a_vector():
    """A program that cut its own argv short has as many arguments as are left."""
    people = Population(World(MODERN))
    Space(people, 7).fill([b"a", None, b"b"], [])
    world = people.finish()
    assert args.arguments_from_memory(target(world), users(world), 7) == ("a",)
    assert args.environment_from_memory(target(world), users(world), 7) == ()


def test_kernel_processes_and_zombies():
    """Kernel processes have neither; a zombie's environment is gone, as the kernel itself says."""
    people = Population(World(MODERN))
    people.add(0, b"kernel", members={"p_flag": P_SYSTEM})
    people.add(9, b"dead", state=ZOMBIE, members={"p_flag": P_WEXIT})
    dead = target(people.finish())
    assert args.arguments_from_memory(dead, None, 0) == ()
    assert args.environment_from_memory(dead, None, 0) == ()
    assert args.arguments_from_memory(dead, None, 9) == ()
    with pytest.raises(ProcessGone, match="process 9"):
        args.environment_from_memory(dead, None, 9)


@pytest.mark.parametrize("ask", [args.arguments_from_memory, args.environment_from_memory])
@pytest.mark.parametrize("pid", [8, -1, 2**40])
def test_no_such_process(ask, pid):
    """A pid that nobody has is ProcessGone."""
    people = Population(World(MODERN))
    people.add(7, b"x")
    with pytest.raises(ProcessGone):
        ask(target(people.finish()), None, pid)


def test_pages_that_are_missing():
    """Own memory that is not in the dump is a Fault that says so, and is counted."""
    people = Population(World(MODERN))
    space = Space(people, 7)
    world = people.finish()
    dead = target(world)
    with pytest.raises(Fault, match=r"process 7 .* minidumps leave out"):
        args.arguments_from_memory(dead, users(world), 7)
    assert dead.tally.counts() == {("user memory", "unknown"): 1}
    space.fill([b"a"], [b"b"])
    assert args.arguments_from_memory(dead, users(world), 7) == ("a",)


def test_no_page_tables():
    """Where processes' memory cannot be read at all, that is what is said."""
    people = Population(World(MODERN))
    Space(people, 7)
    with pytest.raises(Unsupported, match="own memory"):
        args.arguments_from_memory(target(people.finish()), None, 7)


@pytest.mark.parametrize("count", [2**19 + 1, 2**31, 2**32 - 1, 2**19, 70_000])
def test_extreme_counts(count):
    """A count of arguments that cannot be is an error within bounds."""
    people = Population(World(MODERN))
    Space(people, 7).fill([b"a"], [], count=count)
    world = people.finish()
    with pytest.raises(KvmError):
        args.arguments_from_memory(target(world), users(world), 7)


def test_endless_strings():
    """Strings that never end are read as far as the kernel would, and no further."""
    people = Population(World(MODERN))
    space = Space(people, 7)
    page = b"y" * 4096
    for at in range(600):
        space.world.user(space.pmap, 0x100000 + 4096 * at, page)
    vector = space.put(space.word(0x100000) * 50)
    space.world.user(space.pmap, space.ps_strings, struct.pack("<QI4xQI4x", vector, 50, 0, 0))
    world = people.finish()
    found = args.arguments_from_memory(target(world), users(world), 7)
    assert sum(map(len, found)) <= 2 * (1024 + 512 * 1024)


def program(people: Population, **members: object):
    """Process 7 with these members; what its program's path is."""
    people.add(7, b"x", members=members)
    return args.executable_from_memory(target(people.finish()), 7)


@pytest.mark.parametrize("abi", ABIS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_executable(kernel, abi):
    """The program's path is put together from the names that the kernel still knows."""
    people = Population(World(kernel, abi))
    usr = people.directory(people.root(), b"usr")
    local = people.mounted(people.directory(usr, b"local"))
    file = people.directory(people.directory(local, b"bin"), "prög".encode())
    assert program(people, p_textvp=file) == "/usr/local/bin/prög"


def test_executable_by_the_name_it_was_started_with():
    """Of a program with several names it is the one that was executed."""
    people = Population(World(MODERN))
    directory = people.directory(people.root(), b"rescue")
    file = people.directory(directory, b"cat")
    name = people.world.text("ls")
    assert program(people, p_textvp=file, p_textdvp=directory, p_binname=name) == "/rescue/ls"


def test_executable_in_the_root():
    """A program in the root directory has one slash."""
    people = Population(World(MODERN))
    root = people.root()
    file = people.directory(root, b"init")
    name = people.world.text("init")
    assert program(people, p_textvp=file, p_textdvp=root, p_binname=name) == "/init"


def test_no_executable():
    """A kernel process runs no program."""
    people = Population(World(MODERN))
    people.root()
    assert program(people) is None


def test_forgotten_name():
    """A name that fell out of the cache is not known."""
    people = Population(World(MODERN))
    people.root()
    assert program(people, p_textvp=people.world.new("struct vnode")) is None


def test_names_in_circles():
    """Directories inside of each other have no path, and end."""
    people = Population(World(MODERN))
    one = people.directory(people.root(), b"one")
    two = people.directory(one, b"two")
    entry = one.get("v_cache_dst.tqh_first")
    at = people.world.c.offset("struct namecache", "nc_dvp")
    people.world.write(entry + at, people.world.pointer(two.address))
    assert program(people, p_textvp=two) is None


def test_dot_dot_is_no_name():
    """An entry for the parent directory is passed over."""
    people = Population(World(MODERN))
    world = people.world
    directory = people.directory(people.root(), b"bin")
    entry = directory.get("v_cache_dst.tqh_first")
    dots = world.new("struct namecache", nc_flag=2, nc_nlen=2)
    dots.put("nc_dst.tqe_next", entry)
    directory.put("v_cache_dst.tqh_first", dots)
    assert program(people, p_textvp=directory) == "/bin"

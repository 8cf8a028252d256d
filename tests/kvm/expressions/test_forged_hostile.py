"""Does a damaged kernel, or an absurd expression, cost more than its own series?

Any bytes in memory and in type information give numbers, missing metrics or a KvmError, in bounded
time.
"""

from __future__ import annotations

import contextlib
import random

import pytest
from fakes.counted import PLENTY, ask, values
from fakes.counting import opened
from forge.c_types import Array, Field, Pointer, Typedef
from forge.counting import LISTS, MACHINES, PAGE, Counting
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.compiling import spreads
from kvm_exporter.kvm.expressions.plan import Plan
from kvm_exporter.kvm.expressions.wanted import List, Metric, Module, Step
from kvm_exporter.kvm.objects.freebsd.copies import FreeBSDCopies
from kvm_exporter.kvm.target import Target

DECLARED = """
enum kind { K_A, K_B = 5 };
struct tcpstat { uint64_t t_a, t_b[2], t_c; };
struct timeval { time_t tv_sec; long tv_usec; };
struct sub { int s_size; struct sub *s_next; };
struct bits { u_int b_a:3, b_b:20; int64_t b_c:40; };
struct leaf { int t_id; struct { struct leaf *rbe_link[3]; } t_link; };
struct tree { struct leaf *rbh_root; };
"""


def everything(machine: str) -> Counting:
    """A kernel with all that expressions can be about."""
    kernel = Counting(machine, jails={"web": 3})
    kernel.declare(DECLARED)
    for name, kind in LISTS.items():
        kernel.declare(
            f"struct {name}_node {{ int n_id; {kind.entry(f'{name}_node')} n_link; char n_name[8];"
            "char *n_text; counter_u64_t n_count; struct sub *n_subs; enum kind n_kind;"
            f"struct bits n_bits; }}; {kind.head(f'{name}_nodes', f'{name}_node')}"
        )
        found = [
            kernel.new(
                f"struct {name}_node",
                n_id=at,
                n_name=b"abc",
                n_text=kernel.text("text"),
                n_count=kernel.counter([1, 1, at]),
                n_subs=kernel.new("struct sub", s_size=at),
            )
            for at in range(4)
        ]
        kernel.link_list(name, kernel.variable(f"struct {name}_nodes {name}_all"), found, "n_link")
    leaves = [kernel.new("struct leaf", t_id=at) for at in range(7)]
    kernel.link_tree(kernel.variable("struct tree tree"), leaves, "t_link")
    kernel.variable("int number", 5)
    kernel.variable("struct timeval boot", {"tv_sec": 5})
    kernel.variable("int *pointer", kernel.variable("int array[8]", list(range(8))))
    kernel.variable("char *titles[3]", [kernel.text("x")] * 3)
    kernel.variable("counter_u64_t count", kernel.counter([1, 2, 3]))
    kernel.percpu("struct bits own", {})
    stats = {jail: kernel.counters([[1, 2, 3]] * 4) for jail in ("", "web")}
    kernel.vnet("counter_u64_t tcpstat[4]", stats)
    kernel.modules([])
    return kernel


METRICS = [
    Metric("a", ("number + array[number & 7] * boot",)),
    Metric("b", ("array[0:number]",), names="titles"),
    Metric("c", ("sum(pointer[0:number])",)),
    Metric("d", ("own.*",), cpu="each"),
    Metric("e", ("tcpstat.t_b[*]",), vnet="all", cpu="each"),
    Metric("f", (), {"t": "titles[1]", "n": "number"}),
    Metric("g", ("percpu(pointer)[1] + count",)),
    Metric("h", ("titles[*] != 0",)),
]
NODES = (
    Metric("n", ("n_bits.b_b + n_count - n_subs->s_size",)),
    Metric("s", ("n_kind",), states=True),
)
LABELS = {"id": "n_id", "name": "n_name", "text": "n_text", "kind": "n_kind"}
ALL = Module(
    METRICS,
    [
        *(List(one, (Step((f"{one}_all",)),), NODES, LABELS, where="n_id >= 0") for one in LISTS),
        List("subs", (Step(("TAILQ_all",)), Step(("n_subs",), "s_next")), (Metric("z", ("1",)),)),
        List("tree", (Step(("tree",)),), (Metric("t", ("t_id",)),), {"id": "t_id"}),
        List("part", (Step(("array[0:number]",)),), (Metric("x", ("it",)),), {"at": "position"}),
    ],
    {"tcpstat": "struct tcpstat"},
)
SERIES = 1 << 18


def collected(kernel: Counting, **file: object) -> int:
    """How many series there are, and then as many again."""
    target = opened(kernel, **file)
    plan = Plan(target, FreeBSDCopies(target, PAGE), ALL)
    plan.collect(PLENTY)
    found = plan.collect(PLENTY)
    assert len(plan.labels) == len(found.samples)
    assert all(missing.reason for missing in plan.missing)
    return sum(map(len, found.samples))


@pytest.mark.parametrize("ctf", [2, 3])
@pytest.mark.parametrize("machine", MACHINES)
def test_whole(machine: str, ctf: int) -> None:
    """Undamaged, in either version of CTF, the module has everything."""
    kernel = everything(machine)
    target = opened(kernel, version=ctf)
    assert not Plan(target, FreeBSDCopies(target, PAGE), ALL).missing
    assert collected(kernel, version=ctf) == 127


def damage(kernel: Counting, chance: random.Random) -> None:
    """Overwrite some words with what makes most of the difference."""
    world = kernel.world
    for _ in range(chance.choice((1, 5, 50))):
        block = world._blocks[chance.choice(world._starts)]
        width = chance.choice((1, 2, 4, 8))
        at = chance.randrange(max(1, len(block) - width + 1))
        width = min(width, len(block) - at)
        absurd = (0, 1, 3, 2**64 - 1, 1 << 8 * width - 1, chance.getrandbits(64))
        value = chance.choice((*absurd, chance.choice(world._starts), 40, 5000))
        block[at : at + width] = world.number(value, width)


@pytest.mark.parametrize("seed", range(25))
def test_damaged_memory(seed: int) -> None:
    """Pointers, counts, lengths, lists' links, CPUs, jails: any of them may be anything."""
    chance = random.Random(seed)
    kernel = everything(chance.choice(list(MACHINES)))
    damage(kernel, chance)
    with contextlib.suppress(KvmError):
        assert collected(kernel) < SERIES


@pytest.mark.parametrize("seed", range(25))
def test_damaged_types(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes, offsets, kinds and references of CTF may be anything, too."""
    chance = random.Random(seed)
    kernel = everything(chance.choice(list(MACHINES)))
    file = bytearray(kernel.file(compress=False))
    order = kernel.world.byteorder
    start = file.find((0xCFF1).to_bytes(2, order) + b"\3\0") + 36
    assert start > 36
    for _ in range(chance.choice((1, 4, 20))):
        at = chance.randrange(start, start + 3000, 4)
        value = chance.choice(
            (0, 1, 2**32 - 1, 2**31, chance.randrange(300), chance.getrandbits(32))
        )
        file[at : at + 4] = value.to_bytes(4, order)
    monkeypatch.setattr(kernel, "file", lambda: bytes(file))
    with contextlib.suppress(KvmError):
        assert collected(kernel) < SERIES


def test_types_that_lie_in_themselves() -> None:
    """An anonymous member that is the struct itself, a struct in itself, an array of itself, a name
    of its own: nothing of them is a number, and nothing goes in circles."""
    kernel = Counting("amd64")
    kernel.declare("struct own { int x; }; struct wrap { int y; }; struct void_ { int z; };")
    own, wrap = kernel.c.structs["own"], kernel.c.structs["wrap"]
    own.fields.append(Field("", own, 64, None, 8))
    wrap.fields[:] = [Field("only", wrap, 0, None, 4)]
    bare = kernel.c.structs["void_"]
    bare.fields[:] = [Field("", bare, 0, None, 4)]
    name, array, pointer = Typedef("loop", None), Array(None, 3), Pointer(None, 8)
    name.to, array.of, pointer.to = name, array, pointer
    types = {"a": own, "b": wrap, "c": bare, "d": name, "e": array, "f": pointer}
    for variable, type_ in types.items():
        kernel.c.variables[variable] = type_
        kernel.world.symbol(variable, kernel.world.bytes(bytes(200)), 8)
    none = ["b", "b.*", "b.only.only", "c", "c.*", "d", "d.x", "e", "e[1]", "e[*]", "*f", "**f"]
    found = values(kernel, [*none, "a.x", "a.*", "!f", "a.nosuch"])
    assert not [text for text in none if not isinstance(found[text], str)]
    assert found["a.x"] == 0
    assert found["!f"] == 1


HUGE = "huge * " * 20 + "huge"

ABSURD = [
    "pointer[0:huge]",
    "pointer[0:1 << 63]",
    "pointer[huge]",
    "pointer[0:70000]",
    "((int[60000][60000])array)[2:][*]",
    "array[huge]",
    "array[0 - 1]",
    "array[*][*]",
    "array[0.5]",
    "array[nan]",
    "array[pointer]",
    "array[array]",
    "nothing[*]",
    "((int[60000][60000])array)[*][*]",
    "((char[1000000000])array)[999999999]",
    "1 << 100000",
    "huge << huge",
    "1 << -1",
    "1 >> -1",
    HUGE,
    f"({HUGE}) * 1.5",
    f"({HUGE}) / 7",
    "(int)nan",
    "(int)infinite",
    "(u_char)nan",
    "nan % 3",
    "infinite % 3",
    "3 % infinite",
    "nan | 1",
    "~nan",
    "1.5 << 1",
    "number / 1e-320",
    "1e308 * 10",
    "sizeof(nothing)",
    "((struct empty *)pointer)[0:5]",
    "*(void *)pointer",
    "(void)number",
    "percpu(percpu(pointer))",
    "percpu(number)",
    "sum(pointer)",
    "sum(sum(array[*]))",
    "ntohs(nan)",
    "own[cpu]",
    "array[cpu]",
]


@pytest.mark.parametrize("cpu", ["sum", "each"])
def test_absurd_expressions(cpu: str) -> None:
    """Each gives a number, no series or a reason; the metric beside it stays."""
    kernel = Counting("amd64")
    kernel.declare("struct empty {};")
    kernel.variable("uint64_t huge", 2**64 - 1)
    kernel.variable("int number", 7)
    kernel.variable("double nan", float("nan"))
    kernel.variable("double infinite", float("inf"))
    kernel.variable("int **chain", None)
    kernel.variable("int *pointer", kernel.variable("int array[4]", [1, 2, 3, 4]))
    kernel.variable("struct empty nothing[5]")
    kernel.percpu("int own[4]", {})
    found = ask(kernel, [Metric(text, (text,), cpu=cpu) for text in [*ABSURD, "number"]])
    assert found["number"] == {(): 7}
    for text in ABSURD:
        for number in found[text].values():
            assert isinstance(number, int | float)
            float(number)


def test_more_values_than_anybody_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An expression that multiplies is missing before it has them all."""
    monkeypatch.setattr(spreads, "MOST_VALUES", 100)
    kernel = Counting("amd64")
    kernel.variable("int **chain", None)
    found = values(kernel, ["chain[0:10][0:10]", "chain[0:90][0:60000]"])
    assert found["chain[0:10][0:10]"] == {}
    assert "more than 100 values" in str(found["chain[0:90][0:60000]"])


NAMES = ("number", "array", "pointer", "own", "tcpstat", "count", "boot", "titles", "K_B", "tree")
MEMBERS = ("b_a", "b_c", "t_b", "t_a", "tv_sec", "rbh_root", "t_id", "t_link", "rbe_link")
TYPES = ("int", "u_char", "struct bits", "int *", "uint64_t", "char[4]", "enum kind", "_Bool")
BINARY = ("+", "-", "*", "/", "%", "<<", ">>", "&", "|", "^", "==", "<", "&&", "||")
BEHIND = ("[*]", "[cpu]", "[0:2]", "[1:]", "[0]", "[number]", ".*")


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """What can be made of expressions."""
    return st.one_of(
        st.builds("{1}{0}".format, inner, st.sampled_from(("-", "~", "!", "&", "*"))),
        st.builds("({0} {2} {1})".format, inner, inner, st.sampled_from(BINARY)),
        st.builds(
            "({0}){1}{2}".format, inner, st.sampled_from((".", "->")), st.sampled_from(MEMBERS)
        ),
        st.builds("({0}){1}".format, inner, st.sampled_from(BEHIND)),
        st.builds("({1})({0})".format, inner, st.sampled_from(TYPES)),
        st.builds("{1}({0})".format, inner, st.sampled_from(("sum", "sizeof", "percpu", "ntohl"))),
    )


LARGE = ("-", "~", "^", "%", "(struct bits)")
"""Of these numbers may look like an address; as another struct memory is what that struct says."""

EXPRESSIONS = st.recursive(st.sampled_from((*NAMES, "1", "2.5")), larger, max_leaves=5)


@pytest.fixture(scope="module")
def target() -> Target:
    """One kernel for all expressions."""
    return opened(everything("powerpc"))


def is_address(value: str | float) -> bool:
    """Whether it could be one of that kernel's: no other number there is as large."""
    number = float(value) if isinstance(value, str) and value.isdecimal() else value
    return isinstance(number, int | float) and number % 2**32 > 0xC1000000 and number > -(2**32)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(expression=EXPRESSIONS)
def test_any_expression(target: Target, expression: str) -> None:
    """As a value, as a label, as a list: compiled, or missing for a reason; no address gets out."""
    metrics = [
        Metric("m", (expression,), vnet="all"),
        Metric("c", (expression,), cpu="each"),
        Metric("l", ("1",), {"label": expression}),
    ]
    lists = [List("list", (Step((expression,)),), (Metric("n", ("1",)),), {"it": "position"})]
    plan = Plan(target, FreeBSDCopies(target, PAGE), Module(metrics, lists))
    found = plan.collect(PLENTY)
    assert len(found.samples) == 4
    assert all(one.reason for one in plan.missing)
    samples = [sample for one in found.samples for sample in one]
    assert all(isinstance(value, int | float) for _, value in samples)
    if not any(sign in expression for sign in LARGE):
        assert not [sample for sample in samples if any(map(is_address, (*sample[0], sample[1])))]

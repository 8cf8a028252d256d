"""Forged kernels with lists of every kind, and what is told of their elements."""

from __future__ import annotations

from collections.abc import Sequence

from fakes.counted import PLENTY, Asked, ask
from forge.counting import LISTS, RB_ENTRIES, RB_HEAD, Counting
from forge.world import Thing

from kvm_exporter.kvm.expressions.wanted import List, Metric, Step

MACHINES = ("amd64", "i386", "powerpc64", "powerpc")
"""Both word sizes in both byte orders."""

ELEMENT = """
struct sub {{ int s_size; struct sub *s_next; }};
struct node {{
    int n_id; {entry} n_link; u_int n_used; char n_name[8]; struct node *n_peer;
    counter_u64_t n_count; struct sub *n_subs; u_int n_flags:4; u_int n_left:12;
}};
{head}
"""


def kernel_of(machine: str, kind: str = "TAILQ", jails: dict[str, int] | None = None) -> Counting:
    """A kernel whose struct node can be in lists of that kind."""
    kernel = Counting(machine, jails=jails)
    if kind in LISTS:
        entry, head = LISTS[kind].entry("node"), LISTS[kind].head("nodes", "node")
    else:
        entry, head = RB_ENTRIES[kind].format("node"), RB_HEAD.format("nodes", "node")
    kernel.declare(ELEMENT.format(entry=entry, head=head))
    return kernel


def nodes(kernel: Counting, numbers: Sequence[int]) -> list[Thing]:
    """Elements by their n_id, each with 10 times as much used."""
    return [
        kernel.new("struct node", n_id=at, n_used=10 * at, n_name=f"n{at}".encode())
        for at in numbers
    ]


def listed(
    kernel: Counting, numbers: Sequence[int], kind: str = "TAILQ", name: str = "all_nodes"
) -> list[Thing]:
    """A list of elements in a variable."""
    found = nodes(kernel, numbers)
    head = kernel.variable(f"struct nodes {name}")
    if kind in LISTS:
        kernel.link_list(kind, head, found, "n_link")
    else:
        kernel.link_tree(head, found, "n_link")
    return found


USED = Metric("used", ("n_used",))
IDS = {"id": "n_id"}


def asked(kernel: Counting, of: str = "all_nodes", **how: object) -> Asked:
    """The used of each element, by its id."""
    step = Step((of,), str(how.pop("via", "")), str(how.pop("element", "")))
    options = {"labels": IDS, **how}
    budget = options.pop("budget", PLENTY)
    memory = options.pop("memory", None)
    metrics = options.pop("metrics", (USED,))
    one = List("nodes", (step,), metrics, **options)
    return ask(kernel, lists=[one], budget=budget, memory=memory)


def by_id(numbers: Sequence[int]) -> dict[object, int]:
    """What ``asked`` gives of these elements."""
    return {(("id", str(at)),): 10 * at for at in numbers}

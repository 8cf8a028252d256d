"""What is asked of a kernel?  Metrics and lists of a module, as expressions in text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """A number, or with ``states`` the states of an enum.

    ``symbol``: alternatives, the first that this kernel has counts; none for an info, which has
    labels only.  ``labels``: expressions by label, of texts or numbers; a text behind an ``=``
    stands for itself (``=tcp``), several are joined (``da`` and ``0`` to ``da0``).  ``index``: the
    labels of ``[*]``, ``.*`` and slices in their order; those that are not named are ``index``,
    ``index2``, ...  ``names``: what the numbers of the first are called: ``enum zone_stat_item``,
    an array of texts (``vmstat_text``), or the texts themselves.  ``cpu``: the copies of all CPUs
    ``sum``med up, or ``each`` with a label ``cpu``.  ``vnet``: the ``host``'s copy, ``all`` with a
    label ``jail``, or a jail's by its name or number.  With ``states`` the label that tells the
    state is ``index``'s first.
    """

    name: str
    symbol: tuple[str, ...]
    labels: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    index: tuple[str, ...] = ()
    names: str | tuple[str, ...] = ()
    cpu: Literal["sum", "each"] = "sum"
    vnet: str = "host"
    states: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A list: ``of`` is its head, or an array (``swtailq``, ``cpuid_to_pcpu[*]``); alternatives.

    ``via``: the member that links the elements, ``element``: their type (``struct swdevt``); each
    may be empty where the head's type tells.  With ``via`` an array's pointers lead to chains.
    """

    of: tuple[str, ...]
    via: str = ""
    element: str = ""


@dataclass(frozen=True, slots=True)
class List:
    """What to make of each element of a list; of several ``steps``, of the last one's.

    In expressions the element's members go by their names, ``it`` is the element itself, ``outer``
    that of the list around.  ``labels`` are every metric's.  Elements of which ``where`` is 0 do
    not count.  Elements with the same labels are one series: their values are added up; where all
    labels are fixed texts, those of no elements to 0.
    """

    name: str
    steps: tuple[Step, ...]
    metrics: tuple[Metric, ...]
    labels: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    where: str = ""
    vnet: str = "host"


@dataclass(frozen=True, slots=True)
class Module:
    """Metrics and lists that are compiled and collected together.

    ``types``: of variables of which the kernel does not tell one, or another one than is wanted
    (``{nr_threads: int, tcpstat: struct tcpstat}``).
    """

    metrics: Sequence[Metric]
    lists: Sequence[List]
    types: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Missing:
    """A metric (or a list with all of its metrics, then ``metric`` is the list's name) that this
    kernel does not have, and why; near names among the reasons."""

    metric: str
    reason: str

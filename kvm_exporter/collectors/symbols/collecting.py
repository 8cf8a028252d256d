"""How are modules of symbols collected?  Each by its plan, within its budget, for itself."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from time import monotonic

from kvm_exporter.collectors.symbols import account, asking, sysctls
from kvm_exporter.collectors.symbols.account import Account
from kvm_exporter.collectors.symbols.families import Families
from kvm_exporter.collectors.symbols.files import SymbolsOptions, load, shipped
from kvm_exporter.collectors.symbols.options import ModuleOptions
from kvm_exporter.kvm import Kvm, KvmError
from kvm_exporter.kvm.expressions.plan import Plan
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.running.runner import Collected
from kvm_exporter.metric import Family

OWN = "own"
"""What the metrics are called that stand in the configuration itself."""

NO_NUMBER = "this kernel has no such sysctl, or it is no number"
EVERYTHING = "*"
"""Whose absence is told once for all metrics of a module."""

ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
"""Of the kernel's memory: no metric tells one."""

COMPILING_SECONDS = 3.0
"""Time that modules take to be compiled in a collection; after it, further ones wait for the next
collection, lest all of them be late together, again and again."""

log = logging.getLogger(__name__)


def has_symbols(options: ModuleOptions) -> bool:
    """Whether a module is not of sysctls only: a whole tree is as much as all else together."""
    return bool(options.metrics or options.lists)


class Deadline:
    """Whether the time of a reading is over, which begins when that is asked first: what a module
    takes to be compiled, before it is read, is none of its budget."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._end: float | None = None

    def __call__(self) -> bool:
        now = self._clock()
        if self._end is None:
            self._end = now + self._seconds
        return now > self._end


class Module:
    """One module, and its plan for the kernel that was read last."""

    def __init__(self, name: str, options: ModuleOptions, clock: Callable[[], float]) -> None:
        self.account = Account(name)
        self._options = options
        self._asked = asking.asked(options)
        self._numbered = asking.numbered(options)
        self._by_sysctl = [one for one in options.metrics if one.sysctl]
        trees = [sysctls.Tree(one.tree, one.without) for one in options.sysctls]
        self._parts: list[Callable[[Kvm], Iterable[Family]]] = [
            *([self._of_symbols] if self.reads_memory else ()),
            *([self._of_sysctls] if self._by_sysctl else ()),
            *([sysctls.Sysctls(trees).families] if trees else ()),
        ]
        self._clock = clock
        self._kvm: Kvm | None = None
        self._plan: Plan | None = None
        self._families = Families((), ())
        self._missing: Sequence[tuple[str, str]] = ()
        self._logged = ""
        self._generation: Hashable = None

    def collect(self, kvm: Kvm, generation: Hashable) -> Sequence[Family]:
        """The module's families; what fails leaves an error in the account, and the others be."""
        begin = self._clock()
        self._generation = generation
        self.account.error = ""
        self.account.missing = self._missing
        found: list[Family] = []
        for part in self._parts:
            try:
                found += part(kvm)
            except KvmError as error:
                self._fail(str(error))
        self.account.seconds = self._clock() - begin
        return found

    @property
    def reads_memory(self) -> bool:
        """Whether it has more than sysctls."""
        return bool(self._numbered)

    def is_compiled(self, kvm: Kvm, generation: Hashable) -> bool:
        """Whether it has a plan for that kernel as it is now, or needs none."""
        if not self.reads_memory:
            return True
        plan = self._plan if self._kvm is kvm else None
        return plan is not None and plan.is_compiled(generation)

    def postpone(self) -> None:
        """Leave it to a later collection."""
        self._fail("not compiled yet; the next collection goes on")

    def _of_sysctls(self, kvm: Kvm) -> Iterator[Family]:
        """The metrics that sysctls give by name."""
        for one in self._by_sysctl:
            value = sysctls.number(kvm, one.sysctl)
            if value is None:
                self.account.missing = [*self.account.missing, (one.name, NO_NUMBER)]
            else:
                yield asking.metric(one, ()).single(value)

    def _of_symbols(self, kvm: Kvm) -> Sequence[Family]:
        """The metrics that the plan gives."""
        needed = self._options.needs
        if needed and kvm.copies.variable(needed) is None:
            self._plan = None
            self._missing = self.account.missing = [(EVERYTHING, f"this kernel has no {needed}")]
            return ()
        plan = self._plan
        if plan is None or self._kvm is not kvm:
            plan, self._kvm = Plan(kvm.target, kvm.copies, self._asked), kvm
            self._plan = plan
        limit = self._options.budget
        expired = Deadline(self._clock, limit.time_seconds)
        before = plan.compilations
        budget = Budget(limit.bytes, limit.elements, expired)
        collected = plan.collect(budget, self._generation)
        if plan.compilations != before:
            self.account.compilations += plan.compilations - before
            self._families = Families(self._numbered, plan.labels)
            self._tell(plan)
        self._count(collected)
        found = self._families.of(collected.samples)
        self.account.missing = [*self._missing, *self._families.odd.items()]
        return found

    def _tell(self, plan: Plan) -> None:
        """What is missing, once for each time that it was looked for."""
        self._missing = [(one.metric, ADDRESS.sub("0x…", one.reason)) for one in plan.missing]
        for metric, reason in self._missing:
            log.debug("module %s: no %s: %s", self.account.module, metric, reason)
        if self._missing:
            log.info(
                "module %s: this kernel lacks %d of its metrics and lists; kvm_symbols_missing "
                "tells which",
                self.account.module,
                len(self._missing),
            )

    def _count(self, collected: Collected) -> None:
        self.account.read_bytes += collected.bytes
        self.account.unread += collected.unreadable
        self.account.torn += collected.torn
        if collected.stopped:
            self.account.exceeded[collected.stopped] += 1

    def _fail(self, error: str) -> None:
        """Note an error; log it unless it is the one of the last failure."""
        self.account.error = error
        if error != self._logged:
            log.warning("module %s failed: %s", self.account.module, error)
        self._logged = error


class Symbols:
    """All modules that were asked for; ``clock`` in seconds."""

    def __init__(self, options: SymbolsOptions, clock: Callable[[], float] = monotonic) -> None:
        self._options = options
        self._clock = clock
        self._modules: tuple[Module, ...] | None = None

    def collect(self, kvm: Kvm) -> Iterable[Family]:
        """How the modules fared, then every module's families, of which too many are dropped.

        Errors: KvmError where all modules failed, and nothing was collected.
        """
        if self._modules is None:
            self._modules = tuple(self._made(self._chosen(kvm)))
        before = self._generation(kvm)
        found = self._collected(self._modules, kvm, before)
        if (after := self._generation(kvm)) != before:
            # what a kernel module had may be another's by now
            found = self._collected(self._modules, kvm, after)
        accounts = [module.account for module in self._modules]
        if accounts and not found and all(one.error for one in accounts):
            raise KvmError(accounts[0].error)
        unique = {family.metric.name: family for family in reversed(found)}  # trees may overlap
        # the accounts first: if there are too many series, they must not be those that are dropped
        return [*account.families(accounts), *reversed(unique.values())]

    def _generation(self, kvm: Kvm) -> Hashable:
        """What changes with the kernel's modules; None where nobody wants its memory, or it cannot
        be read, which whoever reads it tells."""
        if not any(module.reads_memory for module in self._modules or ()):
            return None
        try:
            return kvm.copies.generation()
        except KvmError:
            return None

    def _collected(self, modules: Iterable[Module], kvm: Kvm, generation: Hashable) -> list[Family]:
        found: list[Family] = []
        compiling = 0.0
        for module in modules:
            if module.is_compiled(kvm, generation):
                found += module.collect(kvm, generation)
            elif compiling < COMPILING_SECONDS:
                found += module.collect(kvm, generation)
                compiling += module.account.seconds
            else:
                module.postpone()
        return found

    def _made(self, chosen: Iterable[tuple[str, ModuleOptions]]) -> Iterator[Module]:
        """The modules, without metrics whose family an earlier one has."""
        owners: dict[str, str] = {}
        for name, options in chosen:
            families = {metric.family for metric in asking.every(options)}
            for taken in sorted(families & owners.keys()):
                log.warning("module %s: module %s has %s already", name, owners[taken], taken)
            yield Module(name, asking.without(options, owners.keys()), self._clock)
            owners |= dict.fromkeys(families - owners.keys(), name)

    def _chosen(self, kvm: Kvm) -> Iterator[tuple[str, ModuleOptions]]:
        """The modules that are this kernel's, by name."""
        own = self._options.own
        if own.metrics or own.lists or own.sysctls:
            yield OWN, own
        if self._options.modules is None:
            every = ((name, load(path)) for name, path in shipped().items())
            files = ((name, options) for name, options in every if has_symbols(options))
        else:
            files = ((file.name, file.content) for file in self._options.modules)
        for name, options in files:
            if options.kernel is None or options.kernel.lower() == kvm.system.name:
                yield name, options

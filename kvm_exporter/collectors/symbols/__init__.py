"""Which numbers of the kernel's own variables, lists and sysctls were asked for?"""

from __future__ import annotations

from kvm_exporter.collectors import Collect, Collector
from kvm_exporter.collectors.symbols.account import METRICS
from kvm_exporter.collectors.symbols.files import SymbolsOptions


def start(options: SymbolsOptions) -> Collect:
    """A collection function with its own plans; it is not for two threads at once."""
    from kvm_exporter.collectors.symbols.collecting import Symbols  # noqa: PLC0415

    # imported here: who does not ask for symbols does not pay for what reads them
    return Symbols(options).collect


COLLECTOR = Collector(
    start=start,
    options=SymbolsOptions,
    metrics=METRICS,
    help="numbers of the kernel's own variables, lists and sysctls, by modules",
    enabled=False,
)

"""Where are modules of symbols?  Those of the exporter go by their names, others by a path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from kvm_exporter.collectors.symbols.options import (
    Budget,
    BudgetOptions,
    Lists,
    Metrics,
    ModuleOptions,
    Sysctls,
    Types,
    Vnet,
)
from kvm_exporter.typed_yaml import document
from kvm_exporter.typed_yaml.decode import Decoder, Invalid, suggestion
from kvm_exporter.typed_yaml.document import ConfigError
from kvm_exporter.typed_yaml.option import File, Help, OneOrMore, OptionError, Reads

SHIPPED = Path(__file__).with_name("shipped")
"""config/symbols of the source tree."""

SUFFIX = ".yml"


def shipped() -> Mapping[str, Path]:
    """The modules that come with the exporter, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob(f"*{SUFFIX}"))}


def named(name: str, beside: str) -> File[ModuleOptions]:
    """The module of that name, or in the file of that path, from the folder of ``beside`` on.

    A path has a slash, or ends in .yml.  Errors: ConfigError, ValueError for a name that is none.
    """
    if "/" in name or name.endswith(SUFFIX):
        return File(name, load(Path(beside).parent / name))
    path = shipped().get(name)
    if path is None:
        near = suggestion(name, shipped())
        raise ValueError(f"no module {name!r} comes with the exporter; a file has a slash{near}")
    return File(name, load(path))


def load(path: Path) -> ModuleOptions:
    """The module in a file.  Errors: ConfigError, holding everything that is wrong."""
    source = document.read(path)
    decoder = Decoder(source)
    found = decoder.instance(source.root, ModuleOptions, "")
    decoder.finish()
    if isinstance(found, Invalid):  # finish() has told why
        raise ConfigError(decoder.problems)
    return found


@dataclass(frozen=True, slots=True)
class SymbolsOptions:
    """Which modules of symbols to collect, and metrics of one's own beside them."""

    modules: Annotated[
        Annotated[tuple[Annotated[File[ModuleOptions], Reads(named)], ...], OneOrMore()] | None,
        Help(
            "Modules that come with the exporter by name (freebsd-tcp), others by the path of "
            "their file; null: all that come with it for the kernel that is read, but for its "
            "whole tree of sysctls (freebsd-sysctl, linux-sysctl)."
        ),
    ] = None
    vnet: Vnet = None
    types: Types = field(default_factory=dict)
    budget: Budget = field(default_factory=BudgetOptions)
    metrics: Metrics = ()
    lists: Lists = ()
    sysctls: Sysctls = ()

    def __post_init__(self) -> None:
        """As of any module; each other one once."""
        _ = self.own
        seen: set[str] = set()
        for file in self.modules or ():
            if file.name in seen:
                raise OptionError("modules", f"{file.name} is named twice")
            seen.add(file.name)

    @property
    def own(self) -> ModuleOptions:
        """What stands here itself, as a module."""
        return ModuleOptions(
            vnet=self.vnet,
            types=self.types,
            budget=self.budget,
            metrics=self.metrics,
            lists=self.lists,
            sysctls=self.sysctls,
        )

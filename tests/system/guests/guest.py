"""What is a guest to a test?  Its recipe, its truth, and its memory in every form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from system.guests.dumps import products, reassembled, usual
from system.guests.initramfs import build
from system.guests.packages import Releases
from system.guests.qemu import Machine, running
from system.guests.recipes import CAPTURED, DUMPS, Recipe
from system.guests.truth import Truth, read_truth

DISK = 768  # MiB, for a crash kernel's /proc/vmcore


@dataclass(frozen=True)
class Guest:
    """A guest that has been dumped.

    ``cores``: the files of each form, several when it is a split set.  ``debug``: the vmlinux of
    its kernel's debug package, if its recipe asks for that.
    """

    recipe: Recipe
    truth: Truth
    cores: dict[str, tuple[Path, ...]]
    debug: Path | None

    @property
    def kernel(self) -> Path | None:
        """What has to be opened beside a core: nothing, where the core tells everything."""
        return None if self.recipe.alone else self.debug


def prepare(recipe: Recipe, releases: Releases, folder: Path) -> Guest:
    """Boot `recipe`, hear its truth, and dump it in each of its forms into `folder`."""
    folder.mkdir(parents=True)
    kernel, initramfs = build(recipe, releases, folder)
    command = recipe.command
    if recipe.capture_modules:
        with (folder / "disk").open("wb") as disk:
            disk.truncate(DISK << 20)
        command += ["-drive", f"file={folder / 'disk'},format=raw,if=virtio"]
    with running(command, kernel, initramfs, folder) as machine:
        ready = machine.wait_for(recipe.until)
        cores = taken(machine, ready, recipe, folder)
    if recipe.products:
        cores |= produced(cores, folder)
    assert tuple(cores) == recipe.forms
    truth = read_truth(bytes(machine.console))
    return Guest(recipe, truth, cores, debug_kernel(recipe, releases))


def debug_kernel(recipe: Recipe, releases: Releases) -> Path | None:
    """The vmlinux with debug information, if the recipe asks for it."""
    if not recipe.debug:
        return None
    release = releases.release(recipe.suite)
    name = release.behind(recipe.package, recipe.architecture)
    return release.debug_kernel(name, recipe.architecture)


def taken(
    machine: Machine, ready: re.Match[bytes], recipe: Recipe, folder: Path
) -> dict[str, tuple[Path, ...]]:
    """QEMU's dumps of the stopped guest, or what its crash kernel saved: as much as it said."""
    if recipe.until == CAPTURED:
        with (folder / "disk").open("r+b") as file:
            file.truncate(int(ready[1]))
        return {"vmcore": ((folder / "disk").rename(folder / "vmcore"),)}
    machine.ask("stop")
    cores = {}
    for dump in recipe.dumps:
        for form in DUMPS[dump]:
            cores[form] = (folder / f"core.{form}",)
        machine.dump(dump, *cores[DUMPS[dump][0]])
    if "kdump" in cores:
        reassembled(*cores["kdump-flat"], *cores["kdump"])
    return cores


def produced(cores: dict[str, tuple[Path, ...]], folder: Path) -> dict[str, tuple[Path, ...]]:
    """What makedumpfile makes of the ELF core."""
    if "vmcore" in cores:
        return products(*cores["vmcore"], folder)
    core = usual(*cores["elf"], folder / "usual")
    made = products(core, folder)
    core.unlink()
    return made

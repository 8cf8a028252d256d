"""Other readers of the same cores: libkdumpfile's pages, drgn's processes and symbols."""

from __future__ import annotations

import subprocess
import zlib
from importlib import import_module
from pathlib import Path

import pytest
from system.guests.recipes import RECIPES
from system.guests.seen import look, opened

pytestmark = pytest.mark.system

READER = Path(__file__).parent / "guests" / "kdumpfile_pages.py"
# What libkdumpfile 0.5.1 cannot read: 32-bit ARM, flattened and split dumps; QEMU's ELF of ppc64el,
# whose section headers have the other byte order; its kdump of arm64, whose memory starts high.
UNREAD = {("ppc64el", "elf"), ("arm64", "kdump")}
PAGES = [
    (recipe.name, form)
    for recipe in RECIPES
    for form in recipe.forms
    if recipe.architecture != "armhf"
    and not form.endswith("flat")
    and form != "split"
    and (recipe.architecture, form) not in UNREAD
]
# drgn 0.3.0 translates addresses of 64-bit kernels, and knows a dump's kernel by its VMCOREINFO.
SYMBOLS = [
    (recipe.name, form)
    for recipe in RECIPES
    for form in recipe.forms
    if recipe.architecture in ("amd64", "arm64")
    and recipe.suite != "bullseye"  # 5.10's VMCOREINFO does not tell where kallsyms are
    and not form.endswith("flat")
    and form != "split"
    and (recipe.architecture == "amd64" or form == "elf")  # of arm64's kdump it loses its way
]
PROCESSES = [(name, form) for name, form in SYMBOLS if name in ("amd64-la57", "arm64")]


@pytest.fixture(scope="module")
def peer():
    """What opens cores with drgn; a package of the system tests alone, so not imported above."""
    return import_module("system.guests.drgn_reader")


@pytest.mark.parametrize(("guest", "form"), PAGES, indirect=["guest"])
def test_pages(guest, form):
    """Pages all over physical memory are libkdumpfile's, byte for byte."""
    [core] = guest.cores[form]
    size = guest.truth.page_size
    ours = {}
    with opened([core], guest.kernel) as kvm:
        for page in kvm.pages():
            address = page.kernel_address if page.direct_address is None else page.direct_address
            chosen = (page.physical // size) % 7 == 0
            if chosen and page.offset is not None and address is not None:
                ours[page.physical] = str(zlib.crc32(kvm.read(address, size)))
    asked = "".join(f"{physical}\n" for physical in ours)
    command = ["/usr/bin/python3", READER, core, str(size)]
    told = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    theirs = dict(zip(ours, told.stdout.split(), strict=True))
    assert len(ours) > 1000
    assert ours == theirs


@pytest.mark.parametrize(("guest", "form"), SYMBOLS, indirect=["guest"])
def test_symbols(guest, form, peer):
    """Every symbol that drgn finds by kallsyms has our address; and so has what is read there."""
    [core] = guest.cores[form]
    drgn = peer.program(core, guest.recipe.architecture)
    theirs = peer.symbols(drgn)
    with opened(guest.cores[form]) as kvm:
        ours = {(symbol.name, symbol.value) for symbol in kvm.symbols}
        assert theirs <= ours
        assert len(theirs) > 40_000
        for symbol in kvm.nlist(["linux_banner", "jiffies", "init_task", "avenrun"]):
            if symbol is not None:  # arm64 up to 6.1 tells functions and few variables
                read = kvm.read(symbol.value, 512)
                assert read == drgn.read(symbol.value, 512), symbol


@pytest.mark.parametrize(("guest", "form"), PROCESSES, indirect=["guest"])
def test_processes(guest, form, peer):
    """Every thread that drgn finds by DWARF is ours: ids, parent, name and address."""
    [core] = guest.cores[form]
    drgn = peer.program(core, guest.recipe.architecture)
    drgn.load_debug_info([guest.debug])
    theirs = peer.threads(drgn)
    seen = look(guest.cores[form], guest.kernel)
    ours = {key: (row.ppid, row.address) for key, row in seen.threads.items()}
    assert ours == {key: (ppid, address) for key, (ppid, _, address) in theirs.items()}
    for key, (_, name, _) in theirs.items():  # of kernel threads /proc tells more than 15 bytes
        assert seen.threads[key].thread_name.encode().startswith(name)

"""The same memory in every form of a dump: is everything the same that is read from it?"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from system.guests.recipes import RECIPES
from system.guests.seen import look, opened

from kvm_exporter.cli import main
from kvm_exporter.kvm.errors import KvmError

pytestmark = pytest.mark.system

FORMS = [(recipe.name, form) for recipe in RECIPES for form in recipe.forms[1:]]
CORES = [(recipe.name, form) for recipe in RECIPES for form in recipe.forms]
USERS = ("arguments", "environment")  # what is in processes' own memory


def flags(guest, form):
    """The command-line flags that open a core."""
    core = [word for path in guest.cores[form] for word in ("--core", str(path))]
    return [*core, "--kernel", str(guest.kernel)] if guest.kernel else core


@pytest.mark.parametrize(("guest", "form"), FORMS, indirect=["guest"])
def test_every_form_tells_the_same(guest, form):
    """Every object is equal to that of the plain form; pages that are left out are not guessed.

    makedumpfile -d 31 leaves processes' own memory out, and so their arguments.  An ELF form keeps
    pages that have too few neighbours to be left out, and so the beginning of some.
    """
    plain = look(guest.cores[guest.recipe.forms[0]], guest.kernel)
    seen = look(guest.cores[form], guest.kernel)
    if form.startswith(("filtered", "split")):
        for name in USERS:
            ours, theirs = getattr(seen, name), getattr(plain, name)
            assert ours.keys() == theirs.keys()
            odd = [pid for pid in ours if not is_beginning(ours[pid], theirs[pid])]
            assert {pid: (ours[pid], theirs[pid]) for pid in odd} == {}
        assert None in seen.arguments.values()
        told = {name: getattr(plain, name) for name in USERS}
        seen = replace(seen, **told, refusals=plain.refusals)
    assert seen == plain


def is_beginning(ours, theirs):
    """Whether strings are the first pages of others, or none at all."""
    return ours is None or "\0".join(theirs or ()).startswith("\0".join(ours))


@pytest.mark.parametrize(("guest", "form"), CORES, indirect=["guest"])
def test_scrape(guest, form, capfdbinary):
    """Every collector that a dead kernel has succeeds, and the samples are the objects'."""
    assert main(["scrape", *flags(guest, form)]) == 0
    out, err = capfdbinary.readouterr()
    assert err == b""
    samples = dict(line.rsplit(b" ", 1) for line in out.splitlines() if not line.startswith(b"#"))
    success = {k: v for k, v in samples.items() if k.startswith(b"kvm_collector_success")}
    assert success
    assert set(success.values()) == {b"1"}
    seen = look(guest.cores[guest.recipe.forms[0]], guest.kernel)
    assert float(samples[b"kvm_load1"]) == pytest.approx(seen.load_average.one)
    assert float(samples[b"kvm_context_switches_total"]) == seen.kernel.context_switches


@pytest.mark.parametrize("guest", [recipe.name for recipe in RECIPES], indirect=True)
def test_inspect(guest, capsys):
    """A person gets every subject, in numbers that are the truth's."""
    opening = flags(guest, guest.recipe.forms[0])

    def inspect(*words):
        assert main(["inspect", *words, *opening, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    seen = look(guest.cores[guest.recipe.forms[0]], guest.kernel)
    info = inspect("info")
    assert info["release"] == seen.uname.release
    assert info["nodename"] == "truthful"
    assert info["processes"] == len(seen.processes)
    assert {row["pid"] for row in inspect("ps")} == seen.processes.keys()
    for subject in (
        ["ps", "--threads"], ["process", "1"], ["swap"], ["cpus"], ["memory"], ["msgbuf"],
        ["mounts"], ["interfaces"], ["files"], ["nlist", "linux_banner"],
        ["type", "struct list_head"], ["symbols", "sched_*"], ["read", "linux_banner", "16"],
    ):  # fmt: skip
        assert inspect(*subject), subject


@pytest.mark.parametrize("guest", [r.name for r in RECIPES if not r.alone], indirect=True)
def test_without_vmlinux(guest):
    """Where the core alone does not do, an object is the same, partly unknown, or an error."""
    form = guest.recipe.forms[0]
    seen = look(guest.cores[form], guest.kernel)
    failed = []
    with opened(guest.cores[form]) as kvm:
        assert kvm.nlist(["schedule"]) != [None]
        for name in ("load_average", "swap_devices", "uname", "mounts", "interfaces"):
            try:
                assert odd_fields(getattr(kvm, name)(), getattr(seen, name)) == []
            except KvmError as error:
                failed.append((name, str(error)))
        try:
            assert {process.pid: process.comm for process in kvm.processes()} == {
                pid: process.comm for pid, process in seen.processes.items()
            }
        except KvmError as error:
            failed.append(("processes", str(error)))
    assert failed
    assert all(words for _, words in failed)


def odd_fields(ours, theirs):
    """What of an object, or of each of several, is known and differs."""
    if isinstance(theirs, tuple):
        return [odd for pair in zip(ours, theirs, strict=True) for odd in odd_fields(*pair)]
    pairs = [(name, getattr(ours, name), getattr(theirs, name)) for name in theirs.__slots__]
    return [pair for pair in pairs if pair[1] is not None and pair[1] != pair[2]]

"""A dead kernel's sysctls: are they what /proc/sys told in the guest?"""

from __future__ import annotations

import re
from collections import defaultdict

import pytest
from system.guests.recipes import RECIPES
from system.guests.seen import opened

from kvm_exporter.kvm import SymbolMissing
from kvm_exporter.kvm.objects.linux.sysctlnames import SECRETS, UNREAD
from kvm_exporter.kvm.objects.sysctls import below

pytestmark = [
    pytest.mark.system,
    pytest.mark.parametrize("guest", [recipe.name for recipe in RECIPES], indirect=True),
]

MOVES = re.compile(
    r"kernel\.(ns_last_pid|random\.|perf_event_max_sample_rate|sched_domain\.)|fs\."
    r"|kernel\.(printk|ftrace_enabled)$"
)
"""What was another a moment later, or is by a panic (bust_spinlocks(), ftrace_kill())."""

LINE = re.compile(r"/proc/sys/([^:]+(?::[^:]*)*?):(.*)")


def settings(guest):
    """Name → its numbers, of those that are numbers only."""
    lines = defaultdict(list)
    for line in guest.truth.files["/settings"].decode("utf-8", "replace").splitlines():
        if found := LINE.fullmatch(line):
            lines[found[1].replace(".", "//").replace("/", ".").replace("..", "/")].append(found[2])
    told = {}
    for name, texts in lines.items():
        words = " ".join(texts).split()
        if all(re.fullmatch(r"-?\d+", word) for word in words):
            told[name] = tuple(map(int, words)) if len(words) > 1 else int(words[0])
    return told


def dumped(guest):
    """Name → value of the guest's plainest core; with its vmlinux, if that does not tell itself."""
    core = guest.cores[guest.recipe.forms[0]]
    try:
        with opened(core, guest.kernel) as kernel:
            return {one.sysctl.name: one.value for one in kernel.sysctls()}
    except SymbolMissing:
        with opened(core, guest.debug) as kernel:
            return {one.sysctl.name: one.value for one in kernel.sysctls()}


def test_settings_are_what_proc_told(guest):
    """Most of them, and none of what is there differs; what is left out on purpose is not there."""
    told, ours = settings(guest), dumped(guest)
    both = {name for name in told.keys() & ours.keys() if not MOVES.match(name)}
    assert {name: ours[name] for name in both} == {name: told[name] for name in both}
    assert len(both) > 0.8 * len(told)
    parts = [tuple(name.split(".")) for name in ours]
    assert not [one for one in parts if one[-1] in SECRETS or below(one, UNREAD)]

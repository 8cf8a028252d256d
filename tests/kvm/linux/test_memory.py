"""Are /proc/meminfo and /proc/vmstat read?"""

from __future__ import annotations

import errno
from typing import Any

MEMINFO = """\
MemTotal:       24684084 kB
MemFree:        24150768 kB
MemAvailable:   24247632 kB
Buffers:            1840 kB
Active:            38512 kB
Active(anon):       1560 kB
Inactive(anon):     9040 kB
Active(file):      36952 kB
Inactive(file):   218376 kB
Unevictable:       18864 kB
VmallocTotal:   34359738367 kB
HugePages_Total:       3
HugePages_Free:        1
Hugepagesize:       2048 kB
"""


def test_queues_do_not_overlap(forged: Any) -> None:
    """The queues are the free list and the LRU lists, in bytes; the totals stand apart."""
    forged.tree.put("meminfo", MEMINFO)
    memory = forged.system.memory()
    assert (memory.size_bytes, memory.available_bytes) == (24684084 * 1024, 24247632 * 1024)
    assert memory.queues == {
        "free": 24150768 * 1024,
        "active_anon": 1560 * 1024,
        "inactive_anon": 9040 * 1024,
        "active_file": 36952 * 1024,
        "inactive_file": 218376 * 1024,
        "unevictable": 18864 * 1024,
    }


def test_every_line_under_its_own_name(forged: Any) -> None:
    """Lines in kB are fields in bytes; numbers without a unit are levels."""
    forged.tree.put("meminfo", MEMINFO)
    memory = forged.system.memory()
    assert memory.fields["VmallocTotal"] == 34359738367 * 1024
    assert memory.fields["Hugepagesize"] == 2048 * 1024
    assert len(memory.fields) == 12
    assert memory.levels == {"HugePages_Total": 3, "HugePages_Free": 1}


def test_what_can_fall_is_no_counter(forged: Any) -> None:
    """Events and levels of vmstat are told apart."""
    lines = ["nr_free_pages 9", "nr_dirtied 8", "workingset_nodes 7", "pgfault 5", "oom_kill 0"]
    forged.tree.put("vmstat", "\n".join(lines) + "\n")
    memory = forged.system.memory()
    assert memory.counters == {"nr_dirtied": 8, "pgfault": 5, "oom_kill": 0}
    assert memory.levels == {"nr_free_pages": 9, "workingset_nodes": 7}


def test_an_older_kernel_tells_less(forged: Any) -> None:
    """No MemAvailable and no split LRU: unknown and absent."""
    forged.tree.put("meminfo", "MemTotal: 100 kB\nMemFree: 50 kB\n")
    memory = forged.system.memory()
    assert (memory.size_bytes, memory.available_bytes) == (102400, None)
    assert memory.queues == {"free": 51200}


def test_a_file_that_fails_costs_only_what_it_tells(forged: Any) -> None:
    """Without meminfo there are still events, and the failure is counted."""
    forged.procfs.refused = {"meminfo": errno.EACCES}
    forged.tree.put("vmstat", "pgfault 5\n")
    memory = forged.system.memory()
    assert (memory.size_bytes, memory.queues, memory.counters) == (None, {}, {"pgfault": 5})
    assert forged.tally.counts() == {(forged.procfs.path("meminfo"), "EACCES"): 1}


def test_odd_lines_are_left_out(forged: Any) -> None:
    """A line that is no number costs itself only."""
    forged.tree.put("meminfo", b"\xff: 1 kB\nA: -1 kB\nB: 2 MB\nC 3 kB\nD: kB\nMemFree: 4 kB\n:")
    forged.tree.put("vmstat", b"a b\n\xff 1\nc 1 2\n\npgfault 5")
    memory = forged.system.memory()
    assert (memory.fields, memory.counters) == ({"MemFree": 4096}, {"pgfault": 5})

"""What do the handlers answer that work out a sysctl of their own?

Sources: sys/kern/kern_clock.c, kern_mib.c, kern_tc.c, vfs_bio.c, sys/vm/swap_pager.c, vm_meter.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.freebsd import cptime, life
from kvm_exporter.kvm.objects.freebsd.oidgeneric import plain
from kvm_exporter.kvm.objects.freebsd.oidkernel import INT, Answer, Kernel
from kvm_exporter.kvm.objects.freebsd.oidtree import Oid
from kvm_exporter.kvm.objects.freebsd.percpu import PCPU
from kvm_exporter.kvm.types.flatten import composite

MOST_DOMAINS = 256
"""More than BUF_DOMAINS (sys/kern/vfs_bio.c)."""

LARGEST_TIME = 16
"""Bytes of a struct timeval."""


def named(kernel: Kernel, oid: Oid) -> bytes:
    """A number that is found by the sysctl's name."""
    return kernel.spelled(kernel.number(".".join(oid.parts)), kernel.size(oid))


def ticks(kernel: Kernel, _oid: Oid) -> bytes:
    """Ticks in each mode, of all CPUs together."""
    long = kernel.target.abi.pointer_size
    states = cptime.ticks_from_memory(kernel.target, kernel.cpus)
    return b"".join(kernel.spelled(count, long) for count in states)


def every_ticks(kernel: Kernel, _oid: Oid) -> bytes:
    """Ticks of each CPU number, zeros for one that is not there."""
    target, cpus = kernel.target, kernel.cpus.addresses
    at, size = target.offset(PCPU, "pc_cp_time"), cptime.STATES * target.abi.pointer_size
    numbers = range(max(cpus) + 1)
    rows = (target.read(cpus[cpu] + at, size) if cpu in cpus else bytes(size) for cpu in numbers)
    return b"".join(rows)


def variable(kernel: Kernel, _oid: Oid, name: str) -> bytes:
    """The bytes of a variable, all of them."""
    return kernel.target.variable(name).read()


def shown(kernel: Kernel, oid: Oid, name: str) -> bytes:
    """A variable's number, as wide as the sysctl's kind."""
    size = kernel.size(oid)
    address, own = kernel.variable(name)
    number = kernel.target.integer(address, own if own in {1, 2, 4, 8} else size, signed=True)
    return kernel.spelled(number, size)


def checked(kernel: Kernel, oid: Oid) -> bytes:
    """What arg1 points at, as wide as the sysctl's kind."""
    return plain(kernel, oid, kernel.size(oid))


def of_pages(kernel: Kernel, oid: Oid) -> bytes:
    """A long of pages, as bytes."""
    pages = kernel.signed(oid, kernel.target.abi.pointer_size)
    return kernel.spelled(pages * kernel.number("vm.stats.vm.v_page_size"), kernel.size(oid))


def member(kernel: Kernel, oid: Oid, struct: str, member: str) -> bytes:
    """A member of the struct at arg1."""
    return kernel.spelled(kernel.member(struct, member, kernel.address(oid)), kernel.size(oid))


def host(kernel: Kernel, oid: Oid, member: str) -> bytes:
    """A member of the host's own struct prison."""
    number = kernel.member("struct prison", member, kernel.target.address("prison0"))
    return kernel.spelled(number, kernel.size(oid))


def buffers(kernel: Kernel, oid: Oid, member: str) -> bytes:
    """A member of every struct bufdomain, summed up (sys/kern/vfs_bio.c)."""
    target = kernel.target
    count = target.integer(target.address("buf_domains"), INT, signed=True)
    if not 0 < count <= MOST_DOMAINS:
        raise FormatError(f"buf_domains: there cannot be {count} domains of buffers")
    first, record = target.address("bdomain"), kernel.record("struct bufdomain", member)
    total = sum(record.at(first + at * record.size)[0] for at in range(count))
    return kernel.spelled(total, kernel.size(oid))


def clock(kernel: Kernel, _oid: Oid) -> bytes:
    """A struct clockinfo: hz, tick, spare, stathz, profhz."""
    names = ("hz", "tick", "stathz", "profhz")
    hertz, tick, stathz, profhz = (
        kernel.target.integer(kernel.target.address(name), INT) for name in names
    )
    row = (hertz, tick, 0, stathz or hertz, profhz)
    return b"".join(kernel.spelled(number, INT) for number in row)


def boot_time(kernel: Kernel, _oid: Oid) -> bytes:
    """A struct timeval."""
    boot = life.from_memory(kernel.target, None).boot_time_seconds
    if boot is None:
        raise FormatError("the kernel does not tell when it was booted")
    whole, micro = divmod(round(boot * 1_000_000), 1_000_000)
    size = composite(kernel.target.types, "struct timeval").size
    at = kernel.target.offset("struct timeval", "tv_usec")
    if size > LARGEST_TIME or at > size:
        raise FormatError(f"struct timeval has {size} bytes; damaged type information")
    row = kernel.spelled(whole, at) + kernel.spelled(micro, kernel.target.abi.pointer_size)
    return row.ljust(size, b"\0")


OWN: Mapping[str, Answer] = {
    "sysctl_handle_vmstat_proc": named,
    "vcnt": named,  # until 11
    "sysctl_vm_pdpages": named,
    "sysctl_hw_physmem": named,
    "sysctl_kern_boottime": boot_time,
    "sysctl_kern_clockrate": clock,
    "sysctl_kern_cp_time": ticks,
    "sysctl_kern_cp_times": every_ticks,
    "sysctl_vm_loadavg": partial(variable, name="averunnable"),
    "sysctl_hw_pagesizes": partial(variable, name="pagesizes"),
    "sysctl_page_shift": of_pages,
    "sysctl_mem_reserved": of_pages,
    "sysctl_bufspace": partial(buffers, member="bd_bufspace"),
    "sysctl_numdirtybuffers": partial(buffers, member="bd_numdirtybuffers"),
    "sysctl_kern_timecounter_freq": partial(
        member, struct="struct timecounter", member="tc_frequency"
    ),
    "sysctl_hostid": partial(host, member="pr_hostid"),
    "sysctl_kern_securelvl": partial(host, member="pr_securelevel"),
    "sysctl_osreldate": partial(host, member="pr_osreldate"),
}

SHOWN = {
    "sysctl_devctl_queue": "devctl_queue_length",
    "sysctl_fibs": "_rt_numfibs",
    "sysctl_kern_eventtimer_periodic": "periodic",
    "sysctl_kern_pid_max": "pid_max",
    "sysctl_kern_randompid": "randompid",
    "sysctl_kern_smp_active": "smp_started",
    "sysctl_kmem_map_size": "uma_kmem_total",
    "sysctl_machdep_i8254_freq": "i8254_freq",
    "sysctl_maxphys": "maxphys",
    "sysctl_maxvnodes": "desiredvnodes",
    "sysctl_numopensockets": "numopensockets",
    "sysctl_somaxconn": "somaxconn",
    "sysctl_swap_async_max": "nsw_wcount_async_max",
    "sysctl_wantfreevnodes": "wantfreevnodes",
}
"""Handlers that show a variable as it is."""

CHECKED = (
    *("random_check_uint_fs_minpoolsize", "syscal_vfs_cache_fast_lookup", "sysctl_acct_chkfreq"),
    *("sysctl_bufdomain_int", "sysctl_bufdomain_long", "sysctl_garp_rexmit"),
    *("sysctl_handle_nl_maxsockbuf", "sysctl_handle_pipe_mindirect", "sysctl_handle_sb_max"),
    *("sysctl_icmp6lim_and_jitter", "sysctl_icmplim_and_jitter", "sysctl_igmp_default_version"),
    *("sysctl_igmp_gsr", "sysctl_ip_id_change", "sysctl_ip_random_id", "sysctl_jail_default_level"),
    *("sysctl_kern_ktrace_request_pool", "sysctl_kstack_cache_size", "sysctl_laundry_weight"),
    *("sysctl_machdep_adjkerntz", "sysctl_maxsockets", "sysctl_mb_use_ext_pgs"),
    *("sysctl_mca_log_interval", "sysctl_mca_maxcount", "sysctl_mem_percent", "sysctl_mld_gsr"),
    *("sysctl_net_inet_tcp_map_limit_check", "sysctl_net_inet_tcp_mss_check"),
    *("sysctl_net_inet_tcp_mss_v6_check", "sysctl_net_inet_tcp_nolocaltimewait"),
    *("sysctl_net_inet_tcp_retries", "sysctl_net_inet_tcp_sack_revised"),
    "sysctl_net_inet_tcp_syncache_rexmtlimit_check",
    "sysctl_net_inet_tcp_udp_tunneling_overhead_check",
    "sysctl_net_inet_tcp_udp_tunneling_port_check",
    *("sysctl_net_ipport_check", "sysctl_nmbclusters", "sysctl_nmbjumbo16", "sysctl_nmbjumbo9"),
    *("sysctl_nmbjumbop", "sysctl_nmbufs", "sysctl_pfil_ipfw", "sysctl_positive_int"),
    *("sysctl_resettodr_period", "sysctl_runningspace", "usb_timings_sysctl_handler"),
)
"""Handlers that show what arg1 points at, and check what is written."""


SPECIAL: Mapping[str, Answer] = {
    **OWN,
    **{name: partial(shown, name=told) for name, told in SHOWN.items()},
    **dict.fromkeys(CHECKED, checked),
}
"""By symbol."""

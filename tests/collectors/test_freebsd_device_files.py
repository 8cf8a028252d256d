"""Do freebsd-devstat.yml and freebsd-interrupts.yml tell what devices did?

Forged kernels of every word size and byte order.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from fakes.module_files import answer, expected
from forge.counting import MACHINES, Counting
from forge.world import Thing

DEVSTAT = """
struct bintime { time_t sec; uint64_t frac; };
STAILQ_HEAD(devstatlist, devstat);
struct devstat {
    u_int sequence0; int allocated; u_int start_count, end_count; struct bintime busy_from;
    STAILQ_ENTRY(devstat) dev_links; uint32_t device_number; char device_name[16]; int unit_number;
    uint64_t bytes[4], operations[4]; struct bintime duration[4]; struct bintime busy_time;
    struct bintime creation_time; uint32_t block_size; uint64_t tag_types[3]; u_int sequence1;
};
struct g_bioq { void *bio_first; void **bio_last; u_long bio_lock[4]; int bio_queue_length; };
LIST_HEAD(class_list_head, g_class);
LIST_HEAD(geoms, g_geom);
LIST_HEAD(providers, g_provider);
struct g_class { char *name; u_int version; LIST_ENTRY(g_class) class; struct geoms geom; };
struct g_geom {
    char *name; struct g_class *class; LIST_ENTRY(g_geom) geom; void *consumer;
    struct providers provider;
};
struct g_provider {
    char *name; LIST_ENTRY(g_provider) provider; struct g_geom *geom; int acr, acw, ace, error;
    off_t mediasize; u_int sectorsize; struct devstat *stat;
};
"""
HALF = 1 << 63


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> Counting:
    """A kernel of each machine that knows devices."""
    made = Counting(request.param, cpus=(0,))
    made.declare(DEVSTAT)
    made.variable("int devstat_num_devs", 2)
    made.variable("struct g_bioq g_bio_run_down", {"bio_queue_length": 3})
    made.variable("struct g_bioq g_bio_run_up", {"bio_queue_length": 1})
    made.variable("struct devstatlist device_statq")
    made.variable("struct class_list_head g_classes")
    return made


def head(kernel: Counting, name: str, type_: str) -> Thing:
    """A list's head by its symbol."""
    [address] = [one.address for one in kernel.world.symbols if one.name == name]
    return Thing(kernel.world, type_, address)


def transfers(kernel: Counting, scale: int, seconds: int = 0, **members: object) -> Thing:
    """What a device did, ``scale`` times as much, and for so long (``scale`` where 0)."""
    seconds = seconds or scale
    return kernel.new(
        "struct devstat",
        bytes=[scale, 4096 * scale, 512 * scale, 7 * scale],
        operations=[scale, 2 * scale, 3 * scale, 4 * scale],
        duration=[{}, {"sec": seconds, "frac": HALF}, {"sec": 2 * seconds}, {"frac": HALF // 2}],
        busy_time={"sec": 10 * seconds, "frac": HALF},
        **members,
    )


def test_devices(kernel: Counting) -> None:
    """As iostat(8): by name and unit; the count of what is under way may have wrapped around."""
    disk = transfers(
        kernel,
        1,
        device_name=b"ada",
        unit_number=10,
        block_size=512,
        tag_types=[5, 6, 7],
        start_count=2,
        end_count=0xFFFFFFFE,
        creation_time={"sec": 1, "frac": HALF},
    )
    passing = transfers(kernel, 1 << 33, 1 << 24, device_name=b"pass", start_count=9, end_count=9)
    queue = head(kernel, "device_statq", "struct devstatlist")
    kernel.link_list("STAILQ", queue, [disk, passing], "dev_links")
    found = answer(kernel, "freebsd-devstat")
    assert found.missing == {}
    assert found.series == expected(
        """
        devstat_devices 2
        geom_queue_requests{queue="down"} 3
        geom_queue_requests{queue="up"} 1
        devstat_bytes_total{device="ada10",type="read"} 4096
        devstat_bytes_total{device="ada10",type="write"} 512
        devstat_bytes_total{device="ada10",type="free"} 7
        devstat_bytes_total{device="pass0",type="read"} 35184372088832
        devstat_bytes_total{device="pass0",type="write"} 4398046511104
        devstat_bytes_total{device="pass0",type="free"} 60129542144
        devstat_transfers_total{device="ada10",type="none"} 1
        devstat_transfers_total{device="ada10",type="read"} 2
        devstat_transfers_total{device="ada10",type="write"} 3
        devstat_transfers_total{device="ada10",type="free"} 4
        devstat_transfers_total{device="pass0",type="none"} 8589934592
        devstat_transfers_total{device="pass0",type="read"} 17179869184
        devstat_transfers_total{device="pass0",type="write"} 25769803776
        devstat_transfers_total{device="pass0",type="free"} 34359738368
        devstat_duration_seconds_total{device="ada10",type="none"} 0
        devstat_duration_seconds_total{device="ada10",type="read"} 1.5
        devstat_duration_seconds_total{device="ada10",type="write"} 2
        devstat_duration_seconds_total{device="ada10",type="free"} 0.25
        devstat_duration_seconds_total{device="pass0",type="none"} 0
        devstat_duration_seconds_total{device="pass0",type="read"} 16777216.5
        devstat_duration_seconds_total{device="pass0",type="write"} 33554432
        devstat_duration_seconds_total{device="pass0",type="free"} 0.25
        devstat_busy_time_seconds_total{device="ada10"} 10.5
        devstat_busy_time_seconds_total{device="pass0"} 167772160.5
        devstat_tags_total{device="ada10",tag="simple"} 5
        devstat_tags_total{device="ada10",tag="head"} 6
        devstat_tags_total{device="ada10",tag="ordered"} 7
        devstat_tags_total{device="pass0",tag="simple"} 0
        devstat_tags_total{device="pass0",tag="head"} 0
        devstat_tags_total{device="pass0",tag="ordered"} 0
        devstat_queue_length{device="ada10"} 4
        devstat_queue_length{device="pass0"} 0
        devstat_block_size_bytes{device="ada10"} 512
        devstat_block_size_bytes{device="pass0"} 0
        devstat_created_seconds{device="ada10"} 1.5
        devstat_created_seconds{device="pass0"} 0
        """
    )


def provider(kernel: Counting, name: str, geom: Thing, stat: Thing | None, **members: int) -> Thing:
    """A provider of a geom, whose transfers are counted in ``stat``."""
    made = kernel.new("struct g_provider", **members)
    return made.set(name=kernel.text(name), geom=geom, stat=stat)


def geom(kernel: Counting, class_: Thing) -> Thing:
    """A geom of a class."""
    return kernel.new("struct g_geom").set(**{"class": class_})


def test_providers(kernel: Counting) -> None:
    """As gstat(8): classes have geoms, geoms have providers; one that counts nothing has a size."""
    disks, parts = (
        kernel.new("struct g_class").set(name=kernel.text(name)) for name in ("DISK", "PART")
    )
    disk, part = geom(kernel, disks), geom(kernel, parts)
    classes = head(kernel, "g_classes", "struct class_list_head")
    kernel.link_list("LIST", classes, [parts, disks], "class")
    for class_, one in ((disks, disk), (parts, part)):
        inner = Thing(kernel.world, "struct geoms", class_.at("geom"))
        kernel.link_list("LIST", inner, [one], "geom")
    counts = transfers(kernel, 3, start_count=5, end_count=3)
    ada0 = provider(
        kernel, "ada0", disk, counts, mediasize=1 << 40, sectorsize=4096, acr=2, acw=1, ace=3
    )
    first = provider(kernel, "ada0p1", part, None, mediasize=1 << 20, sectorsize=512, error=6)
    second = provider(kernel, "ada0p2", part, transfers(kernel, 1), mediasize=77)
    for of, members in ((disk, [ada0]), (part, [first, second])):
        inner = Thing(kernel.world, "struct providers", of.at("provider"))
        kernel.link_list("LIST", inner, members, "provider")
    found = answer(kernel, "freebsd-devstat")
    assert found.missing == {}
    disk0 = {key: value for key, value in found.series.items() if 'provider="ada0"' in key}
    assert disk0 == expected(
        """
        geom_bytes_total{class="DISK",provider="ada0",type="read"} 12288
        geom_bytes_total{class="DISK",provider="ada0",type="write"} 1536
        geom_bytes_total{class="DISK",provider="ada0",type="free"} 21
        geom_transfers_total{class="DISK",provider="ada0",type="none"} 3
        geom_transfers_total{class="DISK",provider="ada0",type="read"} 6
        geom_transfers_total{class="DISK",provider="ada0",type="write"} 9
        geom_transfers_total{class="DISK",provider="ada0",type="free"} 12
        geom_duration_seconds_total{class="DISK",provider="ada0",type="none"} 0
        geom_duration_seconds_total{class="DISK",provider="ada0",type="read"} 3.5
        geom_duration_seconds_total{class="DISK",provider="ada0",type="write"} 6
        geom_duration_seconds_total{class="DISK",provider="ada0",type="free"} 0.25
        geom_busy_time_seconds_total{class="DISK",provider="ada0"} 30.5
        geom_queue_length{class="DISK",provider="ada0"} 2
        geom_size_bytes{class="DISK",provider="ada0"} 1099511627776
        geom_sector_size_bytes{class="DISK",provider="ada0"} 4096
        geom_openers{class="DISK",mode="read",provider="ada0"} 2
        geom_openers{class="DISK",mode="write",provider="ada0"} 1
        geom_openers{class="DISK",mode="exclusive",provider="ada0"} 3
        geom_error{class="DISK",provider="ada0"} 0
        """
    )
    uncounted = {key: value for key, value in found.series.items() if 'provider="ada0p1"' in key}
    assert uncounted == expected(
        """
        geom_size_bytes{class="PART",provider="ada0p1"} 1048576
        geom_sector_size_bytes{class="PART",provider="ada0p1"} 512
        geom_openers{class="PART",mode="read",provider="ada0p1"} 0
        geom_openers{class="PART",mode="write",provider="ada0p1"} 0
        geom_openers{class="PART",mode="exclusive",provider="ada0p1"} 0
        geom_error{class="PART",provider="ada0p1"} 6
        """
    )
    assert found.series['geom_transfers_total{class="PART",provider="ada0p2",type="free"}'] == 4


X86 = """
struct intsrc {
    void *is_pic; struct intr_event *is_event; u_long *is_count, *is_straycount; u_int is_index;
};
"""
OTHERS = """
struct intr_irqsrc {
    void *isrc_dev; u_int isrc_irq, isrc_flags; char isrc_name[64]; u_int isrc_index;
    u_long *isrc_count; u_int isrc_handlers; struct intr_event *isrc_event;
};
"""
EVENT = """
TAILQ_HEAD(intr_events, intr_event);
struct intr_event {
    TAILQ_ENTRY(intr_event) ie_list; struct { struct intr_handler *cslh_first; } ie_handlers;
    char ie_name[20], ie_fullname[20]; void *ie_source;
};
"""
INTERRUPTS = expected(
    """
    interrupts_total{interrupt="irq1: atkbd0"} 70
    interrupts_total{interrupt="irq9: acpi0 ++"} 30
    interrupts_stray_total{interrupt="irq1: atkbd0"} 7
    interrupts_stray_total{interrupt="irq9: acpi0 ++"} 3
    """
)


def events(kernel: Counting, sources: Mapping[str, Thing | None]) -> None:
    """Events by their handlers' names, with their sources; those whose names end so have none."""
    made = []
    for name, source in sources.items():
        event = kernel.new("struct intr_event", ie_fullname=name.encode()).set(ie_source=source)
        if not name.endswith(":"):
            event.put("ie_handlers.cslh_first", event)
        made.append(event)
    kernel.link_list("TAILQ", kernel.variable("struct intr_events event_list"), made, "ie_list")


def test_interrupts_on_x86(kernel: Counting) -> None:
    """Of events with a handler and a source, each by its counters among all interrupts'."""
    kernel.declare(EVENT + X86)
    counts = kernel.variable("u_long intrcnt[8]", [0, 30, 3, 70, 7, 9, 9, 9])
    step = kernel.c.abi.pointer  # as wide as a u_long
    sources: dict[str, Thing | None] = {"swi4: clock (0)": None}
    for name, at in {"irq9: acpi0 ++": 1, "irq5:": 5, "irq1: atkbd0": 3}.items():
        counted = counts.address + step * at
        source = kernel.new("struct intsrc").set(is_count=counted, is_straycount=counted + step)
        sources[name] = source
    events(kernel, sources)
    found = answer(kernel, "freebsd-interrupts")
    assert found.missing == {}
    assert found.series == INTERRUPTS


def test_interrupts_on_others(kernel: Counting) -> None:
    """INTRNG has both counters of a source one behind the other."""
    kernel.declare(EVENT + OTHERS)
    sources: dict[str, Thing | None] = {"swi4: clock (0)": None}
    for name, first in {"irq9: acpi0 ++": 30, "irq5:": 50, "irq1: atkbd0": 70}.items():
        counts = kernel.variable(f"u_long counts_{first}[2]", [first, first // 10])
        sources[name] = kernel.new("struct intr_irqsrc").set(isrc_count=counts)
    events(kernel, sources)
    found = answer(kernel, "freebsd-interrupts")
    assert found.missing == {}
    assert found.series == INTERRUPTS

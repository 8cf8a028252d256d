"""How might a Linux kernel declare what it keeps of the system as a whole?  Two kernels' structs.

The names are the kernel's; the order and the padding are made up and differ between the two, so
that whoever assumes an offset is wrong.

MODERN is as of 6.18: the clock in a struct tk_data, a tick's state in flags, NUMA events of each
CPU, atomic use of swap, mounts in a tree, drops of each CPU, descriptors of log records apart.
OLD is as of 4.18: shadow_timekeeper, idle_active as a bit, watermark, vm_numa_stat, a swap area's
use as a number, mounts on a list, drops of the device, log records one behind the other.
"""

SHARED = """
typedef unsigned long long u64; typedef long long s64; typedef unsigned int u32; typedef int s32;
typedef unsigned short u16; typedef unsigned char u8;
typedef struct { int counter; } atomic_t;
typedef struct { long counter; } atomic_long_t;
struct list_head { struct list_head *next, *prev; };
struct rb_root { struct rb_node *rb_node; };
struct cpumask { u_long bits[2]; };
struct new_utsname {
    char sysname[65]; char nodename[65]; char release[65]; char version[65]; char machine[65];
    char domainname[65];
};
struct kernel_stat { u_long irqs_sum; u_int softirqs[10]; };
struct vm_event_state { u_long event[4]; };
struct vfsmount { struct dentry *mnt_root; struct super_block *mnt_sb; int mnt_flags; };
struct path { struct vfsmount *mnt; struct dentry *dentry; };
struct file { u_long f_pad; struct path f_path; };
struct fs_struct { int users; struct path root, pwd; };
struct nsproxy { int count; void *uts_ns; struct mnt_namespace *mnt_ns; };
struct qstr { u32 hash; u32 len; const u_char *name; };
struct dentry_operations { void *d_dname; };
struct dentry {
    struct { void *next; void **pprev; } d_hash; struct dentry *d_parent; struct qstr d_name;
    struct inode *d_inode; const struct dentry_operations *d_op; void *d_fsdata;
};
struct file_system_type { const char *name; int fs_flags; };
struct signal_struct { int nr_threads; struct list_head thread_head; };
struct task_struct {
    u_int flags; struct list_head tasks; struct signal_struct *signal; pid_t pid; pid_t tgid;
    struct list_head thread_node; struct fs_struct *fs; struct nsproxy *nsproxy;
};
struct net_device_ops { void *ndo_open; void *ndo_get_stats64; void *ndo_get_stats; };
struct pcpu_lstats { u64 packets; u64 bytes; };
struct pcpu_sw_netstats {
    u64 rx_packets; u64 rx_bytes; u64 tx_packets; u64 tx_bytes; u32 syncp;
};
struct send_queue_stats { u64 packets; u64 bytes; u64 tx_timeouts; };
struct receive_queue_stats { u64 bytes; u64 packets; u64 drops; };
struct send_queue { void *vq; struct send_queue_stats stats; };
struct receive_queue { struct receive_queue_stats stats; void *vq; };
struct virtnet_info {
    void *vdev; struct send_queue *sq; struct receive_queue *rq; u16 max_queue_pairs;
};
struct vlan_pcpu_stats {
    u64 rx_packets; u64 rx_bytes; u64 rx_multicast; u64 tx_packets; u64 tx_bytes; u32 syncp;
    u32 rx_errors; u32 tx_dropped;
};
struct vlan_dev_priv { u16 vlan_id; struct vlan_pcpu_stats *vlan_pcpu_stats; };
struct veth_stats {
    u64 rx_drops; u64 xdp_packets; u64 xdp_bytes; u64 xdp_drops; u64 xdp_tx_err;
    u64 peer_tq_xdp_xmit_err;
};
struct veth_rq_stats { struct veth_stats vs; u32 syncp; };
struct veth_rq { void *napi; struct veth_rq_stats stats; };
struct veth_priv { struct net_device *peer; struct { s64 counter; } dropped; struct veth_rq *rq; };
enum zone_stat_item {
    NR_FREE_PAGES, NR_ZONE_INACTIVE_FILE, NR_ZONE_ACTIVE_FILE, NR_MLOCK, NR_VM_ZONE_STAT_ITEMS
};
"""

STATS = "tx_bytes; {0} rx_packets; {0} tx_packets; {0} rx_bytes; {0} rx_errors; {0} tx_errors;"
STATS += " {0} rx_dropped; {0} tx_dropped; {0} multicast; {0} collisions; {0} rx_missed_errors;"

MODERN = (
    SHARED
    + "struct net_device_stats { u_long "
    + STATS.format("u_long")
    + """ };
struct uts_namespace { struct new_utsname name; void *user_ns; };
struct percpu_counter { int lock; s64 count; struct list_head list; s32 *counters; };
struct rb_node { u_long __rb_parent_color; struct rb_node *rb_right; struct rb_node *rb_left; };
struct rq { u_int nr_running; u64 nr_switches; void *curr; atomic_t nr_iowait; };
typedef struct {
    u16 __softirq_pending; u_int __nmi_count; u_int apic_timer_irqs; u_int irq_resched_count;
    u_int irq_call_count; u_int irq_tlb_count;
} irq_cpustat_t;
struct tick_sched {
    u_long flags; s64 idle_entrytime; s64 idle_sleeptime; u_long idle_calls; s64 iowait_sleeptime;
};
struct tk_read_base { void *clock; u64 mask; u32 mult; u32 shift; u64 xtime_nsec; s64 base; };
struct timekeeper {
    struct tk_read_base tkr_mono; u64 xtime_sec; s64 offs_real; s64 offs_boot; s64 offs_tai;
};
struct tk_data { u_int seq; struct timekeeper timekeeper; struct timekeeper shadow_timekeeper; };
struct per_cpu_zonestat { signed char vm_stat_diff[4]; u_long vm_numa_event[2]; };
struct zone {
    u_long _watermark[4]; u_long watermark_boost; struct per_cpu_zonestat *per_cpu_zonestats;
    u_long present_pages; const char *name; atomic_long_t vm_stat[4];
};
struct pglist_data { struct zone node_zones[3]; int nr_zones; atomic_long_t vm_stat[14]; };
struct hstate {
    u_int order; u_long mask; u_long nr_huge_pages; u_long free_huge_pages; u_long resv_huge_pages;
    u_long surplus_huge_pages; char name[32];
};
struct address_space { void *host; u_long nrpages; };
struct inode {
    u_short i_mode; struct address_space *i_mapping; struct list_head i_sb_list; u_long i_ino;
};
struct super_block {
    u_long s_flags; struct file_system_type *s_type; const char *s_subtype;
    struct list_head s_inodes;
};
struct swap_info_struct {
    u_long flags; short prio; u_int pages; atomic_long_t inuse_pages; struct file *swap_file;
};
struct mount {
    struct mount *mnt_parent; struct dentry *mnt_mountpoint; struct vfsmount mnt;
    struct rb_node mnt_node; const char *mnt_devname;
};
struct mnt_namespace { u_long seq; struct rb_root mounts; };
struct files_stat_struct { u_long nr_files; u_long nr_free_files; u_long max_files; };
struct pid_namespace { int level; int pid_max; };
struct net { int passive; struct list_head dev_base_head; };
struct net_device_core_stats { u_long rx_dropped; u_long tx_dropped; u_long rx_nohandler; };
struct pcpu_dstats {
    u64 rx_packets; u64 rx_bytes; u64 tx_packets; u64 tx_bytes; u64 rx_drops; u64 tx_drops;
};
struct net_device {
    const struct net_device_ops *netdev_ops;
    union {
        struct pcpu_lstats *lstats; struct pcpu_sw_netstats *tstats; struct pcpu_dstats *dstats;
    };
    u_int mtu; int ifindex; char name[16]; struct list_head dev_list; u_int num_rx_queues;
    struct net_device_core_stats *core_stats; struct net_device_stats stats;
    u_int pcpu_stat_type:8; u8 priv[];
};
struct prb_data_blk_lpos { u_long begin; u_long next; };
struct prb_desc { atomic_long_t state_var; struct prb_data_blk_lpos text_blk_lpos; };
struct printk_info { u64 seq; u64 ts_nsec; u16 text_len; u8 facility; u8 flags; u32 caller_id; };
struct prb_desc_ring {
    u_int count_bits; struct prb_desc *descs; struct printk_info *infos; atomic_long_t head_id;
    atomic_long_t tail_id;
};
struct prb_data_ring { u_int size_bits; char *data; atomic_long_t head_lpos, tail_lpos; };
struct printk_ringbuffer { struct prb_desc_ring desc_ring; struct prb_data_ring text_data_ring; };
typedef struct { u64 pte; } pte_t;
enum numa_stat_item { NUMA_HIT, NUMA_MISS, NR_VM_NUMA_EVENT_ITEMS };
enum node_stat_item {
    NR_LRU_BASE, NR_INACTIVE_ANON = 0, NR_ACTIVE_ANON, NR_INACTIVE_FILE, NR_ACTIVE_FILE,
    NR_SLAB_RECLAIMABLE_B, NR_SLAB_UNRECLAIMABLE_B, NR_FILE_PAGES, NR_SHMEM, NR_ANON_THPS,
    NR_KERNEL_MISC_RECLAIMABLE, NR_KERNEL_STACK_KB, NR_PAGETABLE, NR_SWAPCACHE, NR_DIRTIED,
    NR_VM_NODE_STAT_ITEMS
};
enum vm_event_item { PGPGIN, PGPGOUT, PSWPIN, PSWPOUT, NR_VM_EVENT_ITEMS };
"""
)

OLD = (
    SHARED
    + "struct net_device_stats { u_long "
    + STATS.format("u_long")
    + """ };
struct uts_namespace { int kref; struct new_utsname name; };
struct percpu_counter { struct list_head list; s32 *counters; s64 count; };
struct rb_node { struct rb_node *rb_left; struct rb_node *rb_right; u_long __rb_parent_color; };
struct rq { u64 nr_switches; atomic_t nr_iowait; u_int nr_running; };
typedef struct { u_int __softirq_pending; u_int timer_irqs_event; u_int spurious_irqs; }
    irq_cpustat_t;
struct tick_sched {
    s64 idle_sleeptime; s64 iowait_sleeptime; u_int inidle:1; u_int tick_stopped:1;
    u_int idle_active:1; u_int do_timer_last:1; s64 idle_entrytime;
};
struct tk_read_base { void *clock; u64 mask; u32 mult; u32 shift; s64 base; u64 xtime_nsec; };
struct timekeeper { s64 offs_boot; s64 offs_real; u64 xtime_sec; struct tk_read_base tkr_mono; };
struct zone {
    const char *name; u_long present_pages; u_long watermark[3]; atomic_long_t vm_numa_stat[2];
    atomic_long_t vm_stat[4];
};
struct pglist_data { atomic_long_t vm_stat[13]; struct zone node_zones[3]; };
struct hstate {
    u_long nr_huge_pages; u_long free_huge_pages; u_long resv_huge_pages; u_long surplus_huge_pages;
    int next_nid; u_int order;
};
struct address_space { u_long nrpages; void *host; };
struct inode {
    struct list_head i_sb_list; u_short i_mode; struct address_space *i_mapping;
};
struct super_block {
    struct list_head s_inodes; char *s_subtype; struct file_system_type *s_type;
};
struct swap_info_struct {
    struct file *swap_file; u_int inuse_pages; u_int pages; signed short prio; u_long flags;
};
struct mount {
    struct list_head mnt_list; const char *mnt_devname; struct vfsmount mnt;
    struct dentry *mnt_mountpoint; struct mount *mnt_parent;
};
struct mnt_namespace { struct list_head list; u_long seq; };
struct files_stat_struct { u_long max_files; u_long nr_files; };
struct pid_namespace { int level; };
struct net { struct list_head dev_base_head; int passive; };
struct net_device {
    u_int num_rx_queues; char name[16]; struct list_head dev_list; int ifindex; u_int mtu;
    struct net_device_stats stats; atomic_long_t rx_dropped; atomic_long_t tx_dropped;
    const struct net_device_ops *netdev_ops;
    union { struct pcpu_lstats *lstats; struct pcpu_sw_netstats *tstats; };
};
struct printk_log { u64 ts_nsec; u16 len; u16 text_len; u16 dict_len; u8 facility; u8 flags; };
typedef struct { u_long pte; } pte_t;
"""
)

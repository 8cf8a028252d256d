"""How might a FreeBSD kernel declare what it keeps of the system as a whole?  Two kernels' structs.

The names are the kernel's; the order and the padding are made up and differ between the two, so
that whoever assumes an offset is wrong.

MODERN is as of 15: counters of vmmeter are counter(9)s and pages are counted by memory domain, the
way to a CPU's copy is in its struct pcpu, interfaces are on a CK_STAILQ, jails have a state.
OLD is as of 11: vmmeter has plain numbers which each CPU adds its own to, copies are a page apart,
interfaces are on a TAILQ, a device is behind v_un, the time of boot is a variable.
"""

SHARED = """
struct timeval { time_t tv_sec; long tv_usec; };
struct bintime { time_t sec; uint64_t frac; };
struct loadavg { uint32_t ldavg[3]; long fscale; };
"""

STATFS = """
struct statfs {
    uint32_t f_version; uint32_t f_type; uint64_t f_flags; uint64_t f_bsize; uint64_t f_iosize;
    uint64_t f_blocks; uint64_t f_bfree; int64_t f_bavail; uint64_t f_files; int64_t f_ffree;
    char f_fstypename[16]; char f_mntfromname[%d]; char f_mntonname[%d];
};
"""

MODERN = (
    SHARED
    + STATFS % (1024, 1024)
    + """
struct pcpu {
    struct thread *pc_curthread; uint64_t pc_early_dummy_counter; long pc_cp_time[5];
    u_int pc_cpuid; uintptr_t pc_zpcpu_offset; char pc_pad[40];
};
struct vmmeter {
    counter_u64_t v_swtch; counter_u64_t v_trap; counter_u64_t v_syscall; counter_u64_t v_intr;
    counter_u64_t v_soft; counter_u64_t v_vm_faults; counter_u64_t v_pdpages;
    counter_u64_t v_swapin; counter_u64_t v_swapout; counter_u64_t v_swappgsin;
    counter_u64_t v_swappgsout; counter_u64_t v_forks; counter_u64_t v_vforks;
    counter_u64_t v_rforks; counter_u64_t v_kthreads; counter_u64_t v_wire_count;
    counter_u64_t v_nofree_count; u_int v_page_size; u_int v_page_count; u_int v_free_reserved;
    u_int v_free_target; u_int v_free_min;
};
struct vm_pagequeue { char pq_lock[32]; int pq_cnt; const char *pq_name; uint64_t pq_pdpages; };
struct vm_domain {
    u_int vmd_domain; u_int vmd_page_count; struct vm_pagequeue vmd_pagequeues[4];
    u_int vmd_free_count; char vmd_pad[52];
};
struct timehands {
    struct timecounter *th_counter; int64_t th_adjustment; struct bintime th_boottime;
    struct bintime th_offset; struct timehands *th_next;
};
struct msgbuf {
    u_int msg_magic; char *msg_ptr; u_int msg_size; u_int msg_wseq; u_int msg_rseq;
    u_int msg_seqmod; u_int msg_flags;
};
struct cdev { void *si_spare0; u_int si_flags; char si_name[256]; };
struct vnode {
    u_int v_type; void *v_data;
    union { struct mount *v_mountedhere; struct cdev *v_rdev; };
};
struct swdevt {
    int sw_flags; int sw_nblks; int sw_used; dev_t sw_dev; struct vnode *sw_vp; void *sw_id;
    TAILQ_ENTRY(swdevt) sw_list;
};
TAILQ_HEAD(swdevs, swdevt);
struct mount {
    int mnt_kern_flag; uint64_t mnt_flag; struct statfs mnt_stat; TAILQ_ENTRY(mount) mnt_list;
};
TAILQ_HEAD(mntlist, mount);
enum prison_state { PRISON_STATE_INVALID, PRISON_STATE_ALIVE, PRISON_STATE_DYING };
struct prison {
    unsigned int pr_flags; int pr_id; TAILQ_ENTRY(prison) pr_list; struct prison *pr_parent;
    struct vnet *pr_vnet; enum prison_state pr_state; char pr_path[1024]; char pr_name[256];
    char pr_hostname[256];
};
TAILQ_HEAD(prisonlist, prison);
struct vnet {
    LIST_ENTRY(vnet) vnet_le; u_int vnet_magic_n; u_int vnet_ifcnt; u_int vnet_sockcnt;
    u_int vnet_state; void *vnet_data_mem; uintptr_t vnet_data_base;
};
struct ifnet {
    void *if_softc; struct { struct ifnet *cstqe_next; } if_link; char if_xname[16];
    u_short if_index; int if_drv_flags; int if_flags; uint32_t if_mtu; void *if_get_counter;
    counter_u64_t if_counters[12];
};
struct ifnethead { struct ifnet *cstqh_first; struct ifnet **cstqh_last; };
struct vtnet_rxq_stats {
    uint64_t vrxs_ipackets; uint64_t vrxs_ibytes; uint64_t vrxs_iqdrops; uint64_t vrxs_ierrors;
};
struct vtnet_txq_stats { uint64_t vtxs_opackets; uint64_t vtxs_obytes; uint64_t vtxs_omcasts; };
struct vtnet_rxq { char vtnrx_pad[24]; struct vtnet_rxq_stats vtnrx_stats; char vtnrx_name[16]; };
struct vtnet_txq { char vtntx_pad[8]; struct vtnet_txq_stats vtntx_stats; char vtntx_name[16]; };
struct vtnet_softc {
    void *vtnet_dev; struct vtnet_rxq *vtnet_rxqs; struct vtnet_txq *vtnet_txqs;
    int vtnet_act_vq_pairs; int vtnet_max_vq_pairs;
};
struct thread {
    TAILQ_ENTRY(thread) td_plist; int td_inhibitors; u_char td_priority; u_char td_base_pri;
    enum { TDS_INACTIVE, TDS_INHIBITED, TDS_CAN_RUN, TDS_RUNQ, TDS_RUNNING } td_state;
};
struct proc {
    LIST_ENTRY(proc) p_list; TAILQ_HEAD(, thread) p_threads; int p_flag;
    enum { PRS_NEW, PRS_NORMAL, PRS_ZOMBIE } p_state;
};
struct proclist { struct proc *lh_first; };
"""
)

OLD = (
    SHARED
    + STATFS % (88, 88)
    + """
struct vmmeter {
    u_int v_soft; u_int v_intr; u_int v_syscall; u_int v_trap; u_int v_swtch; u_int v_vm_faults;
    u_int v_forks; u_int v_vforks; u_int v_rforks; u_int v_kthreads; u_int v_page_size;
    u_int v_page_count; u_int v_free_target; u_int v_free_count; u_int v_wire_count;
    u_int v_active_count; u_int v_inactive_count; u_int v_laundry_count; u_int v_pdpages;
};
struct pcpu {
    u_int pc_cpuid; long pc_cp_time[5]; struct vmmeter pc_cnt; struct thread *pc_curthread;
};
struct timehands {
    struct timecounter *th_counter; int64_t th_adjustment; struct bintime th_offset;
    u_int th_generation; struct timehands *th_next;
};
struct msgbuf {
    char *msg_ptr; u_int msg_magic; u_int msg_size; u_int msg_wseq; u_int msg_rseq;
    u_int msg_cksum; u_int msg_seqmod;
};
struct cdev { u_int si_flags; void *si_spare0; char si_name[64]; };
struct vnode {
    const char *v_tag; union { struct mount *vu_mount; struct cdev *vu_cdev; } v_un; u_int v_type;
};
struct swdevt {
    TAILQ_ENTRY(swdevt) sw_list; int sw_used; int sw_nblks; int sw_flags; dev_t sw_dev;
    void *sw_id; struct vnode *sw_vp;
};
TAILQ_HEAD(swdevs, swdevt);
struct mount {
    TAILQ_ENTRY(mount) mnt_list; uint64_t mnt_flag; struct statfs mnt_stat; int mnt_kern_flag;
};
TAILQ_HEAD(mntlist, mount);
struct prison {
    TAILQ_ENTRY(prison) pr_list; int pr_id; int pr_ref; int pr_uref; unsigned int pr_flags;
    struct vnet *pr_vnet; struct prison *pr_parent; char pr_hostname[256]; char pr_name[256];
    char pr_path[1024];
};
TAILQ_HEAD(prisonlist, prison);
struct ifnet {
    TAILQ_ENTRY(ifnet) if_link; void *if_softc; char if_xname[16]; int if_flags; int if_drv_flags;
    u_short if_index; uint32_t if_mtu; counter_u64_t if_counters[12]; void *if_get_counter;
};
struct ifnethead { struct ifnet *tqh_first; struct ifnet **tqh_last; };
struct thread {
    u_char td_base_pri; u_char td_priority; TAILQ_ENTRY(thread) td_plist;
    enum { TDS_INACTIVE, TDS_INHIBITED, TDS_CAN_RUN, TDS_RUNQ, TDS_RUNNING } td_state;
    int td_inhibitors;
};
struct proc {
    int p_flag; enum { PRS_NEW, PRS_NORMAL, PRS_ZOMBIE } p_state; TAILQ_HEAD(, thread) p_threads;
    LIST_ENTRY(proc) p_list;
};
struct proclist { struct proc *lh_first; };
"""
)

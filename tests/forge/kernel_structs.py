"""How might a FreeBSD kernel declare its processes?  Two kernels' structs, as C text.

The names are the kernel's (sys/sys/proc.h and its kin); the order and the padding are made up and
differ between the two, so that whoever assumes an offset is wrong.

MODERN is as of 15: zombies stay on the pid hash, cr_gid apart from cr_groups, vm_stacktop, two
schedulers.  OLD is as of 12 and before: a list of zombies, the effective group first of cr_groups,
sv_psstrings, ticks that are signed, no td_cow, no p_textdvp.
"""

TYPES = """
typedef long segsz_t;
typedef uint32_t fixpt_t;
struct timeval { long tv_sec; long tv_usec; };
struct bintime { long sec; uint64_t frac; };
struct rusage {
    struct timeval ru_utime; struct timeval ru_stime;
    long ru_maxrss; long ru_ixrss; long ru_idrss; long ru_isrss;
    long ru_minflt; long ru_majflt; long ru_nswap; long ru_inblock; long ru_oublock;
    long ru_msgsnd; long ru_msgrcv; long ru_nsignals; long ru_nvcsw; long ru_nivcsw;
};
struct rusage_ext {
    uint64_t rux_runtime; uint64_t rux_uticks; uint64_t rux_sticks; uint64_t rux_iticks;
    uint64_t rux_uu; uint64_t rux_su; uint64_t rux_tu;
};
"""
"""What both kernels have alike."""

MODERN = (
    TYPES
    + """
struct mtx { char mtx_name[8]; u_long mtx_lock; };
struct loginclass { u_long lc_spare; char lc_name[33]; };
struct prison { char pr_pad[24]; struct prison *pr_parent; int pr_id; char pr_name[64]; };
struct ucred {
    long cr_ref; struct loginclass *cr_loginclass; struct prison *cr_prison;
    int cr_ngroups; u_int cr_flags; gid_t cr_svgid; gid_t cr_rgid; gid_t cr_gid;
    uid_t cr_svuid; uid_t cr_ruid; uid_t cr_uid; gid_t *cr_groups; gid_t cr_smallgroups[16];
};
struct cdev { char si_name[12]; u_int si_flags; };
struct cdev_priv { u_long cdp_first; struct cdev cdp_c; u_int cdp_flags; u_int cdp_inode; };
struct tty {
    struct mtx t_mtx; struct cdev *t_dev; struct pgrp *t_pgrp; struct session *t_session;
};
struct session {
    char s_login[40]; struct tty *s_ttyp; struct proc *s_leader; struct vnode *s_ttyvp;
    pid_t s_sid; u_int s_count;
};
struct pgrp {
    struct session *pg_session; int pg_flags; pid_t pg_id; struct mtx pg_mtx;
    struct { struct pgrp *le_next; struct pgrp **le_prev; } pg_hash;
};
struct pstats { char pstat_pad[20]; struct timeval p_start; struct rusage p_cru; };
struct pargs { u_int ar_ref; u_int ar_length; u_char ar_args[1]; };
struct pmap_statistics { long wired_count; long resident_count; };
struct pmap {
    struct mtx pm_mtx; uint64_t pm_cr3; uint64_t pm_ucr3; uint64_t *pm_pmltop;
    struct pmap_statistics pm_stats; int pm_flags;
};
struct vm_map { u_long map_pad; struct mtx lock; vm_size_t size; };
struct vmspace {
    u_int vm_refcnt; segsz_t vm_ssize; segsz_t vm_dsize; segsz_t vm_tsize; segsz_t vm_swrss;
    vm_offset_t vm_stacktop; struct vm_map vm_map; struct pmap vm_pmap;
};
struct sysentvec {
    int sv_size; char *sv_name; u_int sv_flags; size_t sv_psstringssz; vm_offset_t sv_psstrings;
};
struct thread {
    char td_md[24];
    struct { struct thread *tqe_next; struct thread **tqe_prev; } td_plist;
    struct proc *td_proc;
    char td_name[20]; u_char td_priority; u_char td_base_pri; u_char td_pri_class;
    u_char td_user_pri; int td_oncpu; int td_lastcpu; u_int td_cow;
    enum td_states { TDS_INACTIVE, TDS_INHIBITED, TDS_CAN_RUN, TDS_RUNQ, TDS_RUNNING } td_state;
    int td_inhibitors; int td_flags; lwpid_t td_tid; int td_slptick;
    const char *td_lockname; const char *td_wmesg; const void *td_wchan;
    u_short td_kstack_pages; u_int td_uticks; u_int td_sticks; u_int td_iticks;
    uint64_t td_incruntime; struct rusage_ext td_rux; struct rusage td_ru; uint64_t td_pad;
};
struct td_sched {
    short ts_flags; int ts_cpu; u_int ts_rltick; u_int ts_slice; u_int ts_ftick; u_int ts_ltick;
    u_int ts_slptime; u_int ts_runtime; u_int ts_ticks;
};
struct sched_instance { void *load; void *estcpu; };
struct filedescent { u_long fde_caps[3]; struct file *fde_file; uint8_t fde_flags; };
struct fdescenttbl { u_long fdt_pad; int fdt_nfiles; struct filedescent fdt_ofiles[0]; };
struct filedesc { u_long *fd_map; int fd_refcnt; struct fdescenttbl *fd_files; };
struct file {
    void *f_data; u_int f_flag; u_int f_count; struct vnode *f_vnode; struct ucred *f_cred;
    off_t f_offset; short f_vflags; short f_type;
};
struct mount { u_long mnt_pad; struct vnode *mnt_vnodecovered; struct vnode *mnt_rootvnode; };
struct namecache {
    struct { struct namecache *sle_next; } nc_hash;
    struct { struct namecache *tqe_next; struct namecache **tqe_prev; } nc_dst;
    struct vnode *nc_dvp; struct vnode *nc_vp; u_char nc_flag; u_char nc_nlen; char nc_name[0];
};
struct vnode {
    u_int v_type; u_int v_vflag; struct mount *v_mount; struct namecache *v_cache_dd;
    struct { struct namecache *tqh_first; struct namecache **tqh_last; } v_cache_dst;
};
struct proclist { struct proc *lh_first; };
struct proc {
    int p_numthreads; pid_t p_pid; char p_comm[20]; int p_flag; pid_t p_oppid;
    struct { struct proc *le_next; struct proc **le_prev; } p_hash;
    struct { struct proc *le_next; struct proc **le_prev; } p_list;
    struct { struct thread *tqh_first; struct thread **tqh_last; } p_threads;
    u_int p_xexit; u_int p_xsig; int p_fibnum; signed char p_nice;
    enum p_states { PRS_NEW, PRS_NORMAL, PRS_ZOMBIE } p_state;
    struct ucred *p_ucred; struct filedesc *p_fd; struct pstats *p_stats; struct vmspace *p_vmspace;
    struct proc *p_pptr; struct pgrp *p_pgrp; struct sysentvec *p_sysent; struct pargs *p_args;
    struct vnode *p_textvp; struct vnode *p_textdvp; char *p_binname;
    struct rusage_ext p_crux; struct rusage_ext p_rux; struct rusage p_ru; int p_flag2;
};
struct timecounter { char *tc_name; uint64_t tc_frequency; u_int tc_counter_mask; };
struct timehands {
    struct bintime th_boottime; struct timecounter *th_counter; u_int th_generation;
};
"""
)

OLD = (
    TYPES
    + """
struct mtx { char mtx_name[4]; u_long mtx_lock; };
struct loginclass { char lc_name[33]; };
struct prison { int pr_id; char pr_name[64]; struct prison *pr_parent; };
struct ucred {
    u_int cr_ref; uid_t cr_uid; uid_t cr_ruid; uid_t cr_svuid; int cr_ngroups;
    gid_t cr_rgid; gid_t cr_svgid; struct prison *cr_prison; struct loginclass *cr_loginclass;
    u_int cr_flags; gid_t *cr_groups; int cr_agroups; gid_t cr_smallgroups[16];
};
struct cdev { void *si_spare0; u_int si_flags; char si_name[64]; };
struct cdev_priv { struct cdev cdp_c; u_int cdp_inode; u_int cdp_flags; };
struct tty { struct session *t_session; struct pgrp *t_pgrp; struct cdev *t_dev; };
struct session {
    u_int s_count; struct proc *s_leader; struct vnode *s_ttyvp; struct tty *s_ttyp; pid_t s_sid;
    char s_login[40];
};
struct pgrp { pid_t pg_id; struct session *pg_session; };
struct pstats { struct rusage p_cru; struct timeval p_start; };
struct pargs { u_int ar_ref; u_int ar_length; u_char ar_args[1]; };
struct pmap_statistics { long resident_count; long wired_count; };
struct pmap { struct mtx pm_mtx; uint64_t pm_cr3; struct pmap_statistics pm_stats; };
struct vm_map { vm_size_t size; u_int timestamp; };
struct vmspace {
    struct vm_map vm_map; segsz_t vm_swrss; segsz_t vm_tsize; segsz_t vm_dsize; segsz_t vm_ssize;
    int vm_refcnt; struct pmap vm_pmap;
};
struct sysentvec { int sv_size; vm_offset_t sv_psstrings; char *sv_name; uint32_t sv_flags; };
struct thread {
    struct proc *td_proc;
    struct { struct thread *tqe_next; struct thread **tqe_prev; } td_plist;
    lwpid_t td_tid; int td_flags; int td_inhibitors; void *td_wchan; const char *td_wmesg;
    int td_lastcpu; int td_oncpu; const char *td_lockname; int td_slptick; struct rusage td_ru;
    struct rusage_ext td_rux; uint64_t td_incruntime; u_int td_sticks; u_int td_iticks;
    u_int td_uticks; char td_name[20]; u_char td_base_pri; u_char td_priority;
    u_char td_pri_class; u_char td_user_pri;
    enum { TDS_INACTIVE, TDS_INHIBITED, TDS_CAN_RUN, TDS_RUNQ, TDS_RUNNING } td_state;
    int td_kstack_pages;
};
struct td_sched {
    fixpt_t ts_pctcpu; u_int ts_estcpu; int ts_cpticks; int ts_slptime; int ts_slice;
};
struct filedescent { struct file *fde_file; u_long fde_caps[2]; };
struct fdescenttbl { int fdt_nfiles; struct filedescent fdt_ofiles[0]; };
struct filedesc { struct fdescenttbl *fd_files; struct vnode *fd_cdir; int fd_refcnt; };
struct file {
    void *f_data; void *f_ops; struct ucred *f_cred; struct vnode *f_vnode; short f_type;
    short f_vnread_flags; u_int f_flag; u_int f_count; off_t f_offset;
};
struct mount { struct vnode *mnt_vnodecovered; };
struct namecache {
    struct { struct namecache *le_next; struct namecache **le_prev; } nc_hash;
    struct { struct namecache *tqe_next; struct namecache **tqe_prev; } nc_dst;
    struct vnode *nc_dvp; union { struct vnode *nu_vp; } n_un; u_char nc_flag; u_char nc_nlen;
    char nc_name[0];
};
struct vnode {
    u_int v_type; u_int v_vflag; struct mount *v_mount;
    struct { struct namecache *tqh_first; struct namecache **tqh_last; } v_cache_dst;
    struct namecache *v_cache_dd;
};
struct proclist { struct proc *lh_first; };
struct proc {
    struct { struct proc *le_next; struct proc **le_prev; } p_list;
    struct { struct thread *tqh_first; struct thread **tqh_last; } p_threads;
    struct ucred *p_ucred; struct filedesc *p_fd; struct pstats *p_stats; int p_flag;
    enum { PRS_NEW, PRS_NORMAL, PRS_ZOMBIE } p_state;
    pid_t p_pid; struct { struct proc *le_next; struct proc **le_prev; } p_hash;
    struct proc *p_pptr; pid_t p_oppid; struct vmspace *p_vmspace; struct rusage p_ru;
    struct rusage_ext p_rux; struct rusage_ext p_crux; struct vnode *p_textvp;
    char p_comm[20]; struct sysentvec *p_sysent; struct pargs *p_args; signed char p_nice;
    int p_fibnum; u_int p_xexit; u_int p_xsig; struct pgrp *p_pgrp; int p_numthreads;
};
"""
)

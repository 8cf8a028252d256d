"""How might a Linux kernel declare its processes?  Two kernels' structs, as C text.

The names are the kernel's (include/linux/sched.h and its kin); the order and the padding are made
up and differ between the two, so that whoever assumes an offset is wrong.

MODERN is as of 6.12: __state, pid_links, signal->pids, rss counters by CPU, worker_private,
xarrays, time namespaces, no thread_group.  OLD is as of 4.18: state, a pid_link for each type,
atomic rss counters, real_start_time, radix trees.
"""

TYPES = """
typedef unsigned long long u64; typedef long long s64; typedef unsigned int u32; typedef int s32;
typedef struct { int counter; } atomic_t;
typedef struct { u_long counter; } atomic_long_t;
typedef struct { uid_t val; } kuid_t;
typedef struct { gid_t val; } kgid_t;
struct list_head { struct list_head *next, *prev; };
struct hlist_node { struct hlist_node *next, **pprev; };
struct hlist_head { struct hlist_node *first; };
struct prev_cputime { u64 utime; u64 stime; int lock; };
struct rlimit { u_long rlim_cur; u_long rlim_max; };
struct pid_namespace;
struct upid { int nr; struct pid_namespace *ns; };
struct group_info { atomic_t usage; int ngroups; kgid_t gid[]; };
struct tty_driver { int magic; const char *driver_name; int major; int minor_start; int num; };
struct fdtable {
    u_int max_fds; struct file **fd; u_long *close_on_exec; u_long *open_fds; u_long *full_fds_bits;
};
struct files_struct { atomic_t count; char pad[20]; struct fdtable *fdt; struct fdtable fdtab; };
struct vfsmount { struct dentry *mnt_root; struct super_block *mnt_sb; int mnt_flags; };
struct path { struct vfsmount *mnt; struct dentry *dentry; };
struct mount {
    struct hlist_node mnt_hash; struct mount *mnt_parent; struct dentry *mnt_mountpoint;
    struct vfsmount mnt; int mnt_id;
};
struct qstr { u32 hash; u32 len; const u_char *name; };
struct fs_struct { int users; int umask; struct path root, pwd; };
struct inode { u_short i_mode; u_long i_ino; u64 i_size; void *i_private; };
struct proc_ns_operations { const char *name; const char *real_ns_name; int type; };
struct kernfs_root;
struct cgroup_subsys_state { struct cgroup *cgroup; u_int flags; int id; };
struct cgroup_root {
    int hierarchy_id; struct list_head root_list; u_int flags; char release_agent_path[64];
    char name[64];
};
struct cgrp_cset_link {
    struct cgroup *cgrp; struct css_set *cset; struct list_head cset_link, cgrp_link;
};
struct css_set {
    int refcount; struct css_set *dom_cset; struct cgroup *dfl_cgrp; struct list_head cgrp_links;
};
struct worker_pool { int cpu; int id; };
struct work_struct { u_long data; };
struct workqueue_struct { char name[32]; };
struct user_namespace { char pad[12]; struct ns_common ns; };
struct uts_namespace { char name[390]; struct ns_common ns; };
struct ipc_namespace { char ids[100]; struct ns_common ns; };
struct mnt_namespace { struct ns_common ns; int mounts; };
struct net { int passive; struct ns_common ns; };
struct cgroup_namespace { struct ns_common ns; struct css_set *root_cset; };
"""
"""What both kernels have alike; needs struct ns_common before it."""

MODERN = (
    """
struct ns_common { struct dentry *stashed; const struct proc_ns_operations *ops; u_int inum; };
"""
    + TYPES
    + """
enum pid_type { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID, PIDTYPE_MAX };
enum wq_internal_consts { WQ_NAME_LEN = 32, WORKER_ID_LEN = 42 };
struct pid {
    u_int level; int count; struct hlist_head tasks[4]; struct hlist_head inodes;
    struct upid numbers[];
};
struct xa_node {
    u_char shift; u_char offset; u_char count; u_char nr_values; struct xa_node *parent;
    struct xarray *array; void *slots[64]; u_long marks[3][1];
};
struct xarray { int xa_lock; u_int xa_flags; void *xa_head; };
struct idr { struct xarray idr_rt; u_int idr_base; u_int idr_next; };
struct pid_namespace { struct idr idr; int pid_allocated; u_int level; struct ns_common ns; };
struct time_namespace { int offsets[8]; struct ns_common ns; };
struct nsproxy {
    int count; struct uts_namespace *uts_ns; struct ipc_namespace *ipc_ns;
    struct mnt_namespace *mnt_ns; struct pid_namespace *pid_ns_for_children; struct net *net_ns;
    struct time_namespace *time_ns; struct time_namespace *time_ns_for_children;
    struct cgroup_namespace *cgroup_ns;
};
struct percpu_counter { int lock; s64 count; struct list_head list; s32 *counters; };
struct mm_struct {
    struct {
        char cacheline[64]; u_long total_vm, locked_vm; void *pgd; u_long hiwater_rss, hiwater_vm;
        u_long data_vm, exec_vm, stack_vm; u_long start_code, end_code, start_data;
        u_long arg_start, arg_end, env_start, env_end; struct percpu_counter rss_stat[4];
        struct file *exe_file;
    };
    u_long cpu_bitmap[];
};
struct task_io_accounting { u64 rchar, wchar; u64 read_bytes, write_bytes, cancelled; };
struct cred {
    int usage; kgid_t gid, egid; kuid_t uid; kuid_t suid; kuid_t euid; kgid_t sgid;
    struct user_namespace *user_ns; struct group_info *group_info;
};
struct tty_struct {
    int kref; int index; struct tty_driver *driver;
    struct { int lock; struct pid *pgrp; struct pid *session; } ctrl;
};
struct thread_info { u_long flags; u32 cpu; };
struct sched_entity { u_long load; u64 exec_start; u64 sum_exec_runtime; };
struct kthread { u_long flags; u_int cpu; void *data; char *full_name; };
struct worker {
    struct list_head entry; struct work_struct *current_work; struct worker_pool *pool;
    int id; char desc[32]; struct workqueue_struct *rescue_wq;
};
struct dentry_operations { void *d_revalidate; void *d_dname; };
struct dentry {
    u_int d_flags; struct { void *next; void **pprev; } d_hash; struct dentry *d_parent;
    struct qstr d_name; struct inode *d_inode; const struct dentry_operations *d_op; void *d_fsdata;
};
struct file { long f_count; u_int f_mode; u_int f_flags; s64 f_pos; struct path f_path; };
struct kernfs_node { int count; const char *name; u_int ns; struct kernfs_node *__parent; };
struct cgroup {
    u_int flags; struct cgroup_subsys_state self; struct kernfs_node *kn; struct cgroup_root *root;
};
struct signal_struct {
    int sigcnt; int nr_threads; struct list_head thread_head; struct tty_struct *tty;
    struct pid *pids[4]; struct prev_cputime prev_cputime; u64 utime, stime, cutime, cstime;
    u_long min_flt, maj_flt, cmin_flt; struct task_io_accounting ioac;
    u64 sum_sched_runtime; struct rlimit rlim[16];
};
struct task_struct {
    struct thread_info thread_info; u_int __state; void *stack; u_int flags; u_int ptrace;
    int on_rq; int prio; int static_prio; struct sched_entity se; struct list_head tasks;
    struct mm_struct *mm; int exit_state; pid_t pid; pid_t tgid; struct task_struct *real_parent;
    struct task_struct *parent; struct task_struct *group_leader; struct pid *thread_pid;
    struct hlist_node pid_links[4]; struct list_head thread_node; void *worker_private;
    u64 utime, stime; struct prev_cputime prev_cputime; u_long nvcsw, nivcsw; u64 start_time;
    u64 start_boottime; u_long min_flt, maj_flt; const struct cred *real_cred; char comm[16];
    struct fs_struct *fs; struct files_struct *files; struct nsproxy *nsproxy;
    struct signal_struct *signal; struct task_io_accounting ioac; struct css_set *cgroups;
};
"""
)

OLD = (
    """
struct ns_common { u_long stashed; const struct proc_ns_operations *ops; u_int inum; };
"""
    + TYPES
    + """
enum pid_type { PIDTYPE_PID, PIDTYPE_PGID, PIDTYPE_SID, PIDTYPE_MAX };
struct pid { int count; u_int level; struct hlist_head tasks[3]; struct upid numbers[1]; };
struct pid_link { struct hlist_node node; struct pid *pid; };
struct radix_tree_node {
    u_char shift; u_char offset; u_char count; u_char exceptional; struct radix_tree_node *parent;
    struct radix_tree_root *root; struct list_head private_list; void *slots[64];
};
struct radix_tree_root { int xa_lock; u_int gfp_mask; struct radix_tree_node *rnode; };
struct idr { struct radix_tree_root idr_rt; u_int idr_base; u_int idr_next; };
struct pid_namespace { int kref; struct idr idr; u_int level; struct ns_common ns; };
struct nsproxy {
    int count; struct uts_namespace *uts_ns; struct ipc_namespace *ipc_ns;
    struct mnt_namespace *mnt_ns; struct pid_namespace *pid_ns_for_children; struct net *net_ns;
    struct cgroup_namespace *cgroup_ns;
};
struct mm_rss_stat { atomic_long_t count[4]; };
struct mm_struct {
    void *mmap; void *pgd; u_long start_code, end_code;
    u_long arg_start, arg_end, env_start, env_end;
    u_long hiwater_rss; u_long total_vm, data_vm, exec_vm, stack_vm; struct file *exe_file;
    struct mm_rss_stat rss_stat;
};
struct task_io_accounting { u64 write_bytes, read_bytes, rchar; };
struct cred {
    kuid_t uid; kgid_t gid; kuid_t suid; kgid_t sgid; kuid_t euid; kgid_t egid;
    struct group_info *group_info; struct user_namespace *user_ns;
};
struct tty_struct { struct tty_driver *driver; struct pid *pgrp; struct pid *session; int index; };
struct sched_entity { u64 sum_exec_runtime; u64 vruntime; };
struct kthread { u_long flags; void *data; };
struct worker {
    struct work_struct *current_work; char desc[24]; struct worker_pool *pool; int id;
};
struct dentry_operations { void *d_dname; void *d_automount; };
struct dentry {
    struct { void *next; void **pprev; } d_hash; struct dentry *d_parent; struct qstr d_name;
    struct inode *d_inode; void *d_fsdata; const struct dentry_operations *d_op;
};
struct file { struct path f_path; u_int f_flags; long f_count; s64 f_pos; };
struct kernfs_node { int count; struct kernfs_node *parent; const char *name; };
struct cgroup {
    struct cgroup_subsys_state self; u_int flags; struct cgroup_root *root; struct kernfs_node *kn;
};
struct signal_struct {
    struct list_head thread_head; int nr_threads; u64 utime, stime, cutime, cstime;
    struct prev_cputime prev_cputime; u_long min_flt, maj_flt; struct tty_struct *tty;
    u64 sum_sched_runtime; struct rlimit rlim[16]; struct task_io_accounting ioac;
};
struct task_struct {
    long state; int on_cpu; int on_rq; u_int cpu; int prio; int static_prio; struct sched_entity se;
    void *stack; struct list_head tasks; u_int flags; int exit_state; u_int ptrace;
    struct mm_struct *mm; struct task_struct *group_leader; pid_t tgid; pid_t pid;
    struct task_struct *parent; struct task_struct *real_parent; struct pid_link pids[3];
    struct list_head thread_group; struct list_head thread_node; int *set_child_tid;
    u64 utime, stime; u_long nivcsw, nvcsw; u64 real_start_time; u_long maj_flt, min_flt;
    const struct cred *real_cred; struct prev_cputime prev_cputime; char comm[16];
    struct nsproxy *nsproxy; struct files_struct *files; struct fs_struct *fs;
    struct task_io_accounting ioac; struct css_set *cgroups; struct signal_struct *signal;
};
"""
)

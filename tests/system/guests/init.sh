#!/bin/busybox sh
# shellcheck shell=dash
# PID 1 of a guest: which processes, files, areas and interfaces are there, and what does /proc say?
#
# It starts a population, tells the truth about it on the console, and then stays as it is, so that
# a dump of the memory shows the same.  The kernel's command line says how it ends: `end=panic`.
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /etc
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
dmesg -n 1
while read -r module options; do
    # shellcheck disable=SC2086  # each word is an option of the module
    insmod "/modules/$module" $options
done </modules/list
console=/dev/$(sed 's/.* //' /sys/class/tty/console/active)

# --- mounts, names, interfaces
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o size=32m scratch /tmp
mkdir -p "/tmp/odd dir"
mount -t tmpfs -o size=1m,mode=700 "with space" "/tmp/odd dir"
hostname truthful
echo guests.example >/proc/sys/kernel/domainname
echo 1 >/proc/sys/kernel/sched_schedstats
ip link set lo up
ip link add dummy7 type dummy
echo 1 >/proc/sys/net/ipv6/conf/dummy7/disable_ipv6 # which would look for routers for ever
ip addr add 10.9.8.7/24 dev dummy7
ip link set dummy7 up
ping -q -c 3 -i 0.1 127.0.0.1 >/dev/null
ping -q -c 2 -i 0.1 -W 1 10.9.8.1 >/dev/null
ping -q -c 2 -i 0.1 ::1 >/dev/null
traceroute -n -q 2 -w 1 127.0.0.1 >/dev/null # UDP to ports where nobody listens
for turn in 1 2 3; do
    echo "turn $turn" | nc -l -p 5000 >/dev/null &
    until nc -w 2 127.0.0.1 5000 </dev/null >/dev/null 2>&1; do :; done
done

# --- processes: each says that it is there, and waits for ever in a builtin
mkfifo -m 666 /run/never
: >/run/there
chmod 666 /run/there
rest='echo >>/run/there; read -r line <>/run/never'
wanted=0
start() {
    wanted=$((wanted + 1))
    "$@" &
}
start sh -c "$rest" empty '' 'two words' ''
long=$(printf 'x%.0s' $(seq 1 300))
# shellcheck disable=SC2046  # forty arguments: more than a page of them
start sh -c "$rest" long $(for i in $(seq 1 40); do echo "$long$i"; done)
start env -i ONE=1 'SPACED=two words' EMPTY= "LATIN=$(printf 'caf\351')" /bin/sh -c "$rest" env
start env -i /bin/sh -c "$rest" noenv
start sh -c "$rest" latin "$(printf 'caf\351')" "$(printf '\377\376')"
start sh -c "echo -n 'odd) (name' >/proc/self/comm; $rest" comm
wanted=$((wanted + 2))
start-stop-daemon -S -b -c plain -N 7 -p /run/none -a /bin/sh -- -c "$rest" user
start-stop-daemon -S -b -c quick -N -5 -p /run/none -a /bin/sh -- -c "$rest" high
start setsid sh -c "exec 3<>$console; $rest" leader
# shellcheck disable=SC2016  # the inner shell's own pid
start sh -c 'echo >>/run/there; kill -STOP $$; exit' stopped
start sh -c 'sh -c "sleep 1; exit 3" dying & echo >>/run/there; exec sleep 100000' zombie
start unshare -n sh -c "ip link set lo up; ping -q -c 1 127.0.0.1 >/dev/null; $rest" netns
start unshare -u sh -c "hostname inner; $rest" utsns
start unshare -m sh -c "mount -t tmpfs inner /tmp; $rest" mntns
start unshare -i sh -c "$rest" ipcns
start unshare -U sh -c "$rest" userns
start unshare -p -f sh -c "$rest" pidns
start sh -c "exec 7</etc/passwd 8</dev/null 9<>/run/never; $rest" files
mkdir -p /sys/fs/cgroup/group/inner
start sh -c "echo 0 >/sys/fs/cgroup/group/inner/cgroup.procs; $rest" grouped
# shellcheck disable=SC2016  # the inner shell's counter
start sh -c 'i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done; '"$rest" busy
start sh -c "read -r -n 1 byte </dev/ram2; echo written >/dev/ram2; sync; $rest" disk
stage threads first 'second one' third &

# --- a connection that stays, once somebody listens
nc -l -p 5002 -e sleep 100000 &
until grep -q ' 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done
nc 127.0.0.1 5002 <>/run/never >/dev/null &
until grep -q ' 01 ' /proc/net/tcp; do sleep 0.1; done

# --- swap: two areas, and a group whose limit pushes its pages out to both
mkswap /dev/ram0 4096 >/dev/null
mkswap /dev/ram1 >/dev/null
stage swapon /dev/ram0 7
stage swapon /dev/ram1 3
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/tight
echo 2M >/sys/fs/cgroup/tight/memory.max
sh -c 'echo 0 >/sys/fs/cgroup/tight/cgroup.procs; exec dd if=/dev/urandom of=/tmp/swapped bs=64k count=128' 2>/dev/null
[ -e /capture ] && stage crashkernel /capture/kernel /capture/initrd "console=${console#/dev/} quiet"
until [ "$(wc -l </run/there)" -ge "$wanted" ] && grep -q "^State:.Z" /proc/[0-9]*/status; do
    sleep 0.1
done

# --- the truth
truth=/run/truth
mkdir $truth
cd $truth || exit
exec 2>errors
date +%s >./now
uname -a >./uname.txt
dmesg >./dmesg.txt
copy() { cp -d --parents "$@" $truth; }
copy -r /proc/sys/kernel /proc/sys/fs
copy /proc/kallsyms /proc/modules /proc/iomem /proc/cpuinfo /proc/partitions /proc/cmdline \
    /proc/version /proc/1/auxv /proc/buddyinfo /proc/softirqs /proc/slabinfo /proc/schedstat
for pid in /proc/[0-9]*; do
    copy "$pid/status" "$pid"/task/*/status # first: whoever runs after it has switched more often
    copy "$pid/cgroup" "$pid/comm" "$pid/cmdline" "$pid/environ" "$pid/limits" "$pid/maps" \
        "$pid/mountinfo" "$pid/wchan" "$pid"/ns/* "$pid"/fd/* "$pid/exe" "$pid/cwd" "$pid/root" \
        "$pid"/task/*/comm "$pid"/task/*/wchan
done
copy /proc/self/mounts
grep -H . /sys/class/net/*/mtu /sys/class/net/*/address /sys/kernel/vmcoreinfo >sysfiles
grep -rs . /proc/sys >settings
echo "===TRUTH BEGIN==="
tar -c . | gzip -1 | base64
echo "===TRUTH END==="

# The first process in a network namespace of its own.
for pid in /proc/[0-9]*; do
    net=$(readlink "$pid/ns/net")
    [ -n "$net" ] && [ "$net" != "$(readlink /proc/1/ns/net)" ] && inner=$pid && break
done

# What moves is told last, as close to the dump as can be.
echo "===LATE BEGIN==="
head -n 99999 /proc/[0-9]*/stat /proc/[0-9]*/statm /proc/[0-9]*/status /proc/[0-9]*/io \
    /proc/[0-9]*/task/*/stat /proc/[0-9]*/task/*/status \
    /proc/net/snmp /proc/net/snmp6 /proc/net/netstat /proc/net/sockstat /proc/net/sockstat6 \
    "$inner/net/snmp" "$inner/net/snmp6" "$inner/net/netstat" "$inner/net/sockstat" \
    /proc/net/softnet_stat /proc/net/protocols /proc/net/stat/arp_cache \
    /proc/slabinfo /proc/buddyinfo /proc/softirqs /proc/schedstat /proc/pressure/* \
    /proc/net/dev /proc/interrupts /proc/swaps /proc/sys/fs/file-nr /proc/sys/fs/inode-nr \
    /proc/zoneinfo /proc/meminfo /proc/vmstat /proc/stat /proc/loadavg /proc/uptime
echo "===LATE END==="
# shellcheck disable=SC2154  # the kernel makes environment of its command line
if [ "$end" = panic ]; then
    sleep 1 # until the console has told all of it
    echo c >/proc/sysrq-trigger
fi
while :; do read -r _; done

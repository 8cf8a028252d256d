#!/bin/busybox sh
# shellcheck shell=dash
# PID 1 of a crash kernel: where does /proc/vmcore go?  To the first virtio disk, and its size to the console.
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
while read -r module options; do
    # shellcheck disable=SC2086  # each word is an option of the module
    insmod "/modules/$module" $options
done </modules/list
dd if=/proc/vmcore of=/dev/vda bs=1M 2>/dev/null
sync
echo "===VMCORE $(stat -c %s /proc/vmcore)==="
while :; do read -r _; done

#!/bin/sh
# Runs inside the machine under test. The payload is a tar on a raw block
# device (or a file for nspawn); results go back as a tar on another one.
if [ -b /dev/ubdb ]; then
    B=uml P=/dev/ubdb O=/dev/ubdc T=/dev/ttyS0
else
    B=nspawn P=/lab-host/payload.tar O=/lab-host/out.tar T=/lab-host/stream
fi
[ -c "$T" ] && stty -F "$T" raw -echo
mkdir -p /lab /lab-out
tar -xf "$P" -C /lab
chmod 755 /lab
cd /lab || exit 1
. ./.lab/env
export LAB_BACKEND=$B LAB_OUT=/lab-out HOME=/root TERM=dumb SYSTEMD_COLORS=0 SYSTEMD_PAGER=cat SYSTEMD_LESS=
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cat /proc/uptime > /lab-out/.uptime
exec 3>"$T"
timeout -k 5 "$LAB_LIMIT" sh ./.lab/cmd </dev/null >&3 2>&3
echo $? > /lab-out/.rc
exec 3>&-
journalctl -b --no-pager -o short-precise > /lab-out/journal.txt 2>&1
tar -cf /tmp/out.tar -C /lab-out . && cat /tmp/out.tar > "$O"
sync
systemctl poweroff --force --force

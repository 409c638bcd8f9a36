#!/usr/bin/env bash
# tests/lab/cgroup.sh SUITE: runs the tests of pool/cgroup on a booted Debian, as
# an unprivileged user in a unit with Delegate=. Needs root.
# In the machine it runs itself again, with the argument --inside.
set -uo pipefail

if [ "${1:-}" != --inside ]; then
    set -e
    cd "$(dirname "$0")"
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    cp cgroup.sh "$dir/"
    CGO_ENABLED=0 go test -c -o "$dir/cgroup.test" ../../pool/cgroup
    LAB_SUITE=${1:-bookworm} ./boot run "$dir" cgroup.sh --inside
    exit
fi

pass=0 fail=0
ok() { echo "PASS $1"; pass=$((pass + 1)); }
bad() { echo "FAIL $1: $2"; fail=$((fail + 1)); }
echo "systemd $(systemctl --version | head -1), kernel $(uname -r)"
useradd --system rr
install -m 755 cgroup.test /usr/local/bin/

# unit NAME LINE...: runs the tests as a service and shows what they print
unit() {
    local name=$1; shift
    printf '%s\n' '[Service]' Type=oneshot "Environment=RRD_CGROUP_LAB=delegated" \
        'ExecStart=/usr/local/bin/cgroup.test -test.v -test.timeout=120s' "$@" >"/run/systemd/system/$name.service"
    systemctl daemon-reload
    if systemctl start "$name"; then
        ok "$name: $(journalctl -u "$name" -o cat --no-pager | grep -c '^ *--- PASS') tests"
    else
        bad "$name" "$(journalctl -u "$name" -o cat --no-pager | grep -vE 'PASS|=== ')"
    fi
}
budget='MemoryMax=700M
CPUQuota=50%'
unit user User=rr 'Delegate=cpu memory pids io' "$budget"
unit dynamic DynamicUser=yes Delegate=yes "$budget"
unit root Delegate=yes "$budget"
subgroup() { [ "$(systemctl --version | awk 'NR==1{print $2}')" -ge 254 ]; }
if subgroup; then
    unit subgroup User=rr Delegate=yes DelegateSubgroup=daemon "$budget"
fi
# The hardening of rr@.service
unit hardened User=rr 'Delegate=cpu memory pids io' "$budget" NoNewPrivileges=yes ProtectSystem=strict PrivateTmp=yes \
    ProtectProc=invisible ProtectKernelTunables=yes CapabilityBoundingSet= SystemCallArchitectures=native \
    SystemCallFilter=@system-service SystemCallErrorNumber=EPERM RestrictRealtime=yes RestrictSUIDSGID=yes LockPersonality=yes

# Without delegation: one warning, and everything works without groups.
degraded() {
    local name=$1 want=$2; shift 2
    unit "$name" Environment=RRD_CGROUP_LAB=none "$@"
    if journalctl -u "$name" -o cat --no-pager | grep -q "$want"; then ok "$name-says-why"; else bad "$name-says-why" "$(journalctl -u "$name" -o cat --no-pager)"; fi
}
degraded undelegated 'write Delegate=' User=rr
degraded undelegated-root 'write Delegate='
degraded read-only 'take ProtectControlGroups=' User=rr Delegate=yes ProtectControlGroups=yes

# A crash leaves leaves behind. The next start of the unit has to find its way,
# with processes in them (KillMode=process) only if systemd starts rrd in a leaf:
# it cannot start anything in a group that is divided and not empty (219/CGROUP).
crash() {
    local name=$1; shift
    printf '%s\n' '[Service]' User=rr 'Delegate=cpu memory pids io' Restart=on-failure RestartSec=100ms \
        ExecStart=/usr/local/bin/cgroup.test "Environment=RRD_CGROUP_TEST_CRASH=/tmp/$name" "$@" >"/run/systemd/system/$name.service"
    systemctl daemon-reload
    systemctl start "$name"
    local end=$((SECONDS + 20))
    until systemctl show -P SubState "$name" | grep -qE '^(dead|failed)$' || [ $SECONDS -ge $end ]; do sleep .1; done
    if journalctl -u "$name" -o cat --no-pager | grep -q 'started again'; then ok "$name"; else bad "$name" "$(journalctl -u "$name" -o cat --no-pager | tail -20)"; fi
}
crash crash-mixed KillMode=mixed
if subgroup; then crash crash-process KillMode=process DelegateSubgroup=daemon; fi

# systemd still starts the commands of the unit once its group is divided.
printf '%s\n' '[Service]' User=rr 'Delegate=cpu memory pids io' ExecStart=/usr/local/bin/cgroup.test Environment=RRD_CGROUP_TEST_SERVE=1 \
    ExecReload='/bin/sh -c "cat /proc/self/cgroup"' ExecStop=/bin/true >/run/systemd/system/serve.service
systemctl daemon-reload; systemctl start serve
end=$((SECONDS + 20))
until journalctl -u serve -o cat --no-pager | grep -q serving || [ $SECONDS -ge $end ]; do sleep .1; done
systemctl reload serve && ok "reload: $(journalctl -u serve -o cat --no-pager | grep 0::)" || bad reload "$(journalctl -u serve -o cat --no-pager)"
for n in 1 2 3; do systemctl restart serve || bad restart "$n"; done
until [ "$(journalctl -u serve -o cat --no-pager | grep -c serving)" = 4 ] || [ $SECONDS -ge $end ]; do sleep .1; done
[ "$(journalctl -u serve -o cat --no-pager | grep -c serving)" = 4 ] && ok restart || bad restart "$(journalctl -u serve -o cat --no-pager)"
systemctl stop serve

echo "$pass passed, $fail failed"
[ $fail = 0 ]

#!/usr/bin/env bash
# tests/lab/restart.sh SUITE: what services keep in memory survives
# `systemctl restart`, and only that, with the packages in dist/ on a booted
# Debian. Needs root.
# In the machine it runs itself again, with the argument --inside. Each service has
# its part below and its verb in restart/main.go.
set -uo pipefail

if [ "${1:-}" != --inside ]; then
    set -e
    cd "$(dirname "$0")"
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    cp restart.sh restart/app.yaml "$dir/"
    ./debs "${1:-bookworm}" "$dir/deb"
    CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$dir/probe" ./restart
    LAB_SUITE=${1:-bookworm} ./boot run "$dir" restart.sh --inside
    exit
fi

pass=0 fail=0
ok() { echo "PASS $1"; pass=$((pass + 1)); }
bad() { echo "FAIL $1: $2"; fail=$((fail + 1)); }
# check NAME COMMAND...: the command succeeds; what it printed is in the line
check() { local name=$1 out; shift; if out=$("$@" 2>&1); then ok "$name: $out"; else bad "$name" "$out"; fi; }
probe() { ./probe unix:///run/rr/app/rpc.sock "$@"; }
prop() { systemctl show -P "$1" rr@app.service; }
until_true() { local end=$((SECONDS + $1)); shift; until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep .1; done; }

echo "systemd $(systemctl --version | head -1), kernel $(uname -r)"
dpkg -i deb/*.deb >/tmp/dpkg 2>&1 || bad install "$(cat /tmp/dpkg)"
install -m 640 -g rr app.yaml /etc/rr/app.yaml
check start systemctl start rr@app.service

# --- before
check kv-fill probe kv fill 100000

# --- restart
p=$(prop MainPID)
check restart systemctl restart rr@app.service
[ "$(prop MainPID)" != "$p" ] && ok another-process || bad another-process "still $p"
check kv-survives-restart probe kv check 100000
check restart-again systemctl restart rr@app.service
check kv-survives-second-restart probe kv check 100000

# --- a killed daemon has saved nothing, and nothing old comes back
p=$(prop MainPID); kill -9 "$p"
until_true 30 sh -c "[ \$(systemctl show -P MainPID rr@app.service) != $p ] && systemctl is-active rr@app.service"
check kv-empty-after-kill probe kv empty

# --- a stop drops the state
check kv-fill-again probe kv fill 10
systemctl stop rr@app.service
check start-after-stop systemctl start rr@app.service
check kv-empty-after-stop probe kv empty

journalctl -u rr@app.service --no-pager -o cat | grep -iE 'cannot (save|read)|panic' && bad journal "the lines above"
[ -z "$LAB_OUT" ] || journalctl -u rr@app.service --no-pager -o short-precise >"$LAB_OUT/restart.txt"
echo "$pass passed, $fail failed"
[ $fail = 0 ]

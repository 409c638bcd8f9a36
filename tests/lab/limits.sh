#!/usr/bin/env bash
# tests/lab/limits.sh SUITE: tries what the kernel enforces for each worker
# (http.pool.limits, .isolation) with the packages in dist/ on a booted Debian: memory, pids,
# cpu, and that nothing outlives a killed worker. Needs root.
# In the machine it runs itself again, with the argument --inside.
set -uo pipefail

if [ "${1:-}" != --inside ]; then
    set -e
    cd "$(dirname "$0")"
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    cp limits.sh "$dir/"
    cp -r limits "$dir/app"
    ./debs "${1:-bookworm}" "$dir/deb"
    CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$dir/hammer" ./hammer
    LAB_SUITE=${1:-bookworm} ./boot run "$dir" limits.sh --inside
    exit
fi

pass=0 fail=0
ok() { echo "PASS $1"; pass=$((pass + 1)); }
bad() { echo "FAIL $1: $2"; fail=$((fail + 1)); }
# want NAME REGEX VALUE
want() { if [[ "$3" =~ $2 ]]; then ok "$1"; else bad "$1" "wanted /$2/, got: $3"; fi; }
url=http://127.0.0.1:8080
# get PATH [REQUEST ID]: status, a space, body
get() { curl -sS -m 60 -H "X-Request-Id: ${2:-}" -w '\n%{http_code}' "$url$1" 2>&1 | { mapfile -t l; echo "${l[-1]} ${l[*]:0:${#l[@]}-1}"; }; }
until_true() { local end=$((SECONDS + $1)); shift; until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep .1; done; }
prop() { systemctl show -P "$1" rr@app.service; }
load() { ./hammer "$url/" "$1" >/tmp/hammer 2>&1 & hammer=$!; }
unload() { kill -TERM $hammer; while kill -0 $hammer 2>/dev/null; do sleep .05; done; tr '\n' ' ' </tmp/hammer; }
pids() { pgrep -f '^php worker.php' -P "$main" | sort -n | tr '\n' ' '; }
four() { [ "$(pids | wc -w)" = 4 ]; }
journal() { journalctl -u rr@app.service -o json --no-pager "$@"; }
groups="/sys/fs/cgroup/system.slice/system-rr.slice/rr@app.service"
leaf() { grep -lx "$1" "$groups"/workers/http/*/cgroup.procs | xargs -r dirname; }

echo "systemd $(systemctl --version | head -1), kernel $(uname -r)"
dpkg -i deb/*.deb >/tmp/dpkg 2>&1 || bad install "$(cat /tmp/dpkg)"
mkdir -p /srv && cp -r app /srv/
install -m 640 -g rr app/app.yaml /etc/rr/app.yaml
systemctl start rr@app.service && ok start || bad start "$(journalctl -u rr@app -n 30 --no-pager)"
main=$(prop MainPID)
want no-limit-is-missing '^$' "$(journal | grep 'not enforced')"
want a-leaf-per-worker '^4$' "$(ls -d "$groups"/workers/http/*/ | wc -l)"
l=$(leaf "$(pids | cut -d' ' -f1)")
want memory.max '^67108864$' "$(cat "$l/memory.max")"
want pids.max '^24$' "$(cat "$l/pids.max")"
want cpu.max '^25000 100000$' "$(cat "$l/cpu.max")"

# --- isolation under the unit's own filter
want isolation '^200 1 2 1 /tmp/rrd-worker-' "$(get /isolation)"
[ -e /sys/kernel/security/landlock ] || grep -qs landlock /sys/kernel/security/lsm ||
    want landlock-is-missing 'http.pool.isolation.landlock: this kernel has no Landlock' \
        "$(rrd --check --config /etc/rr/app.yaml -o http.pool.isolation.landlock.write=/srv/app 2>&1)"

# --- shared memory: each half counts where it is filled, and no more than that
shmem() { awk '/^shmem /{print $2}' "$1/memory.stat"; }
head -c 2000000 /dev/urandom >/tmp/body
echo_body() { curl -sS -m 60 -H 'Content-Type: application/octet-stream' --data-binary @/tmp/body "$url/echo" | cmp - /tmp/body 2>&1; }
before=$(shmem "$groups/daemon")
wrong=
for i in 1 2 3 4 5 6; do wrong+=$(echo_body); done
want shm-echo '^$' "$wrong"
grew=$(($(shmem "$groups/daemon") - before))
# The request half of one worker at least, of four at most; its first page and the
# control page may have been counted before.
[ $grew -ge $((262144 - 8192)) ] && [ $grew -le $((4 * (4096 + 262144))) ] && ok shm-of-the-daemon || bad shm-of-the-daemon "$grew bytes"
# The response half of a worker; the daemon touches the control page first.
most=0
for l in "$groups"/workers/http/*/; do n=$(shmem "$l"); [ "$n" -gt $most ] && most=$n; done
[ $most -ge 262144 ] && [ $most -le $((262144 + 8192)) ] && ok shm-of-a-worker || bad shm-of-a-worker "$most bytes"

# --- memory: one worker of four is killed under load, and nothing else happens
before=$(pids)
load 3
sleep 1
want oom-is-one-500 '^500' "$(get /oom oom-1)"
sleep 1
want oom-others-lose-nothing 'ok=[1-9][0-9]* failed=0 refused=0' "$(unload)"
until_true 10 four
want oom-one-was-replaced '^3$' "$(comm -12 <(tr ' ' '\n' <<<"$before" | sort) <(pids | tr ' ' '\n' | sort) | grep -c .)"
j=$(journal RR_REQUEST_ID=oom-1)
want oom-cause-in-journal '"RR_CAUSE":"oom"' "$j"
want oom-figures-in-journal 'out of memory: used 6[0-9.]+ MiB of limits.memory 64.0 MiB' "$(grep RR_CAUSE <<<"$j")"
want oom-error-of-the-request 'sync_worker_receive_frame.*out of memory: used' "$(grep -v RR_CAUSE <<<"$j")"
want oom-once '^1$' "$(journal RR_CAUSE=oom | wc -l)"
want oom-daemon-lives "^$main 0 active\$" "$(prop MainPID) $(prop NRestarts) $(systemctl is-active rr@app)"
want oom-in-rrctl ' oom' "$(rrctl --instance app workers)"

# --- memory_high: a worker that stays there is replaced after its request
want high-is-answered '^200 kept' "$(get /keep)"
until_true 20 sh -c "journalctl -u rr@app.service -o json --no-pager RR_CAUSE=memory | grep -q ."
want high-cause '"RR_CAUSE":"memory"' "$(journal RR_CAUSE=memory)"
until_true 10 four && ok high-replaced || bad high-replaced "$(pids)"

# --- pids: a fork bomb stays in its worker
load 2
want bomb-is-stopped '^200 (1[0-9]|2[0-3]) forks' "$(get /forks)"
get /bomb >/dev/null &
sleep 2
most=0
for p in "$groups"/workers/http/*/pids.current; do n=$(cat "$p"); [ "$n" -gt $most ] && most=$n; done
want bomb-within-pids.max '^(1[0-9]|2[0-4])$' "$most"
want bomb-daemon-answers '^200 hello' "$(get /)"
want bomb-others-lose-nothing 'ok=[1-9][0-9]* failed=0 refused=0' "$(unload)"

# --- a killed worker takes everything with it, also what left its session
for p in $(pids); do kill -9 "$p"; done
until_true 20 sh -c "! pgrep -f '[s]leep 4711|[b]omb'" && ok kill-takes-all || bad kill-takes-all "$(pgrep -af .)"
until_true 20 four && ok kill-replaced || bad kill-replaced "$(pids)"
want child-is-started '^200 started' "$(get /child)"
until_true 5 pgrep -f '[s]leep 4712' && ok child-runs || bad child-runs "$(pgrep -af .)"
for p in $(pids); do kill -9 "$p"; done
until_true 20 sh -c "! pgrep -f '[s]leep 4712'" && ok grandchild-is-gone || bad grandchild-is-gone "$(pgrep -af .)"
until_true 20 four

# --- orphans do not stay as zombies
# (ps does not work on User Mode Linux)
zombies() { cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | awk -v m="$main" '$1 == "Z" && $2 == m'; }
# The orphans live for 0.1 s: only when none runs any more none can become a zombie.
reaped() { ! pgrep -f '[s]leep 0\.1' && [ -z "$(zombies)" ]; }
for i in 1 2 3 4 5 6; do get /orphan >/dev/null; done
until_true 10 reaped && ok no-zombies || bad no-zombies "$(zombies)"

# --- cpu: 25 % of a processor, however much the worker wants
# (1 s, and what the clock of a machine on a busy host adds; 4 s without a limit)
want cpu-is-held '^200 (0|0\.[0-9]+|1|1\.[0-9]+|2\.[0-4][0-9]*) of 4' "$(get /hog)"
want cpu-was-throttled 'nr_throttled [1-9]' "$(cat "$groups"/workers/http/*/cpu.stat)"

# --- workers that crash over and over are told, and the daemon recovers by itself
for i in 1 2 3 4 5 6 7 8 9 10; do get / >/dev/null; get /segv >/dev/null; done
until_true 8 sh -c "systemctl show -P StatusText rr@app.service | grep -q 'degraded.*segmentation'"
want loop-status 'degraded .*failures of workers in 30s, the last: signal: segmentation fault in GET /segv' "$(prop StatusText)"
want loop-answers '^200 hello' "$(get /)"
until_true 30 sh -c "systemctl show -P StatusText rr@app.service | grep -q '^http 4/4'"
want loop-ends '^http 4/4' "$(prop StatusText)"

# --- a reload leaves no leaf behind
for i in 1 2 3; do systemctl reload rr@app.service || bad reload "$i"; done
until_true 20 sh -c "[ \$(ls -d $groups/workers/http/*/ | wc -l) = 4 ]" && ok no-leaf-is-left || bad no-leaf-is-left "$(ls "$groups/workers/http")"
want the-daemon-is-the-same "^$main 0\$" "$(prop MainPID) $(prop NRestarts)"
systemctl stop rr@app.service
want stopped '^(inactive success|inactive)$' "$(systemctl is-active rr@app)"

[ -z "${LAB_OUT:-}" ] || journalctl -u rr@app.service --no-pager -o short-precise >"$LAB_OUT/rr.txt"
echo "$pass passed, $fail failed"
[ $fail = 0 ]

#!/usr/bin/env bash
# tests/lab/reload.sh SUITE [RELOADS]: reloads under load, of good code and of code
# that dies, hangs or prints garbage at its boot, and the watchdog of a daemon whose
# dispatcher stands still, with the packages in dist/ on a booted Debian. Needs root.
# In the machine it runs itself again, with the argument --inside.
set -uo pipefail

if [ "${1:-}" != --inside ]; then
    set -e
    cd "$(dirname "$0")"
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    cp reload.sh "$dir/"
    cp -r reload "$dir/app"
    ./debs "${1:-bookworm}" "$dir/deb"
    CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$dir/hammer" ./hammer
    CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$dir/stall" ../../daemon/testdata/stall
    LAB_SUITE=${1:-bookworm} ./boot run "$dir" reload.sh --inside "${2:-50}"
    exit
fi
reloads=$2

pass=0 fail=0
ok() { echo "PASS $1"; pass=$((pass + 1)); }
bad() { echo "FAIL $1: $2"; fail=$((fail + 1)); }
# want NAME REGEX VALUE
want() { if [[ "$3" =~ $2 ]]; then ok "$1"; else bad "$1" "wanted /$2/, got: $3"; fi; }
get() { curl -sS -m 60 "http://127.0.0.1:8080$1" 2>&1; }
until_true() { local end=$((SECONDS + $1)); shift; until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep .1; done; }
prop() { systemctl show -P "$1" rr@app.service; }
release() { ln -sfn "releases/$1" /srv/app/current.new && mv -T /srv/app/current.new /srv/app/current; }
load() { ./hammer "http://127.0.0.1:8080/" 2 >/tmp/hammer 2>&1 & hammer=$!; }
unload() { kill -TERM $hammer; while kill -0 $hammer 2>/dev/null; do sleep .05; done; tr '\n' ' ' </tmp/hammer; }
# KiB of memory that the daemon alone takes
rss() { sed -n 's/^RssAnon:\s*\([0-9]*\) kB/\1/p' "/proc/$main/status"; }

echo "systemd $(systemctl --version | head -1), kernel $(uname -r)"
dpkg -i deb/*.deb >/tmp/dpkg 2>&1 || bad install "$(cat /tmp/dpkg)"
mkdir -p /srv/app && cp -r app/releases /srv/app/ && release good
install -m 640 -g rr app/app.yaml /etc/rr/app.yaml
systemctl start rr@app.service && ok start || bad start "$(journalctl -u rr@app -n 30 --no-pager)"
main=$(prop MainPID)

# --- many reloads under load: no request fails, nothing piles up
reload() { for ((i = 0; i < $1; i++)); do systemctl reload rr@app.service || bad reload "$i"; done; }
load
reload $((reloads / 5 + 5))
before=$(rss)
reload "$reloads"
after=$(rss)
want reloads-lose-nothing 'ok=[1-9][0-9]* failed=0 refused=0' "$(unload)"
[ "$after" -lt $((before + before / 2)) ] && ok "memory-is-flat ($before KiB, after $reloads reloads $after KiB)" || bad memory-is-flat "$before KiB, then $after KiB"
until_true 20 sh -c "[ \$(pgrep -cf '^php worker.php') = 2 ]" && ok no-process-is-left || bad no-process-is-left "$(pgrep -af php)"

# --- code that does not boot: the old one serves, the command fails and says why
for bad in dies hangs garbage; do
    load
    release $bad
    out=$(systemctl reload rr@app.service 2>&1); rc=$?
    want $bad-fails '^[1-9]' "$rc"
    out=$(rrctl --instance app reload 2>&1); rc=$?
    want $bad-exit-status '^[1-9]' "$rc"
    case $bad in
    dies) want dies-says-why 'App.Missing.Kernel' "$out" ;;
    hangs) want hangs-says-why 'waiting for the database' "$out" ;;
    garbage) want garbage-says-why 'Undefined variable' "$out" ;;
    esac
    want $bad-serves '^release 1$' "$(get /)"
    want $bad-loses-nothing 'ok=[1-9][0-9]* failed=0 refused=0' "$(unload)"
    want $bad-status 'the last reload failed' "$(prop StatusText)"
done
release good
systemctl reload rr@app.service && ok recovers || bad recovers "$(prop StatusText)"
want the-daemon-is-the-same "^$main 0 active\$" "$(prop MainPID) $(prop NRestarts) $(systemctl is-active rr@app)"

# --- a daemon that accepts requests and does not dispatch them is replaced
install stall /usr/bin/rrd-stall
mkdir -p /etc/systemd/system/rr@app.service.d
printf '[Service]\nExecStart=\nExecStart=/usr/bin/rrd-stall -c /etc/rr/app.yaml\nWatchdogSec=6s\n' >/etc/systemd/system/rr@app.service.d/stall.conf
systemctl daemon-reload
systemctl restart rr@app.service || bad stall-starts "$(journalctl -u rr@app -n 30 --no-pager)"
main=$(prop MainPID)
want before-the-stall '^release 1$' "$(get /)"
sleep 8 # longer than the watchdog waits
want healthy-is-left-alone "^$main 0\$" "$(prop MainPID) $(prop NRestarts)"
kill -USR1 "$main"
until_true 10 sh -c "journalctl -u rr@app -o cat --no-pager | grep -q 'the dispatcher is stalled'"
(exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET / HTTP/1.1\r\nHost: a\r\n\r\n' >&3) && ok stalled-accepts || bad stalled-accepts "no connection"
until_true 60 sh -c "[ \$(systemctl show -P NRestarts rr@app.service) -ge 1 ] && systemctl is-active rr@app.service"
want watchdog-restarts '^[1-9]' "$(prop NRestarts)"
want watchdog-in-journal 'Watchdog timeout' "$(journalctl -u rr@app --no-pager | grep -i watchdog)"
want after-the-restart '^release 1$' "$(get /)"

systemctl stop rr@app.service
[ -z "${LAB_OUT:-}" ] || journalctl -u rr@app.service --no-pager -o short-precise >"$LAB_OUT/rr.txt"
echo "$pass passed, $fail failed"
[ $fail = 0 ]

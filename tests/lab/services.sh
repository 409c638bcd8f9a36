#!/usr/bin/env bash
# tests/lab/services.sh SUITE: tries the sections service and lock with the packages
# in dist/ on a booted Debian: a control group for each program, journal fields,
# nothing left behind, locks over a restart. Needs root.
# In the machine it runs itself again, with the argument --inside.
set -uo pipefail

if [ "${1:-}" != --inside ]; then
    set -e
    cd "$(dirname "$0")"
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    cp services.sh "$dir/"
    ./debs "${1:-bookworm}" "$dir/deb"
    LAB_SUITE=${1:-bookworm} ./boot run "$dir" services.sh --inside
    exit
fi

pass=0 fail=0
ok() { echo "PASS $1"; pass=$((pass + 1)); }
bad() { echo "FAIL $1: $2"; fail=$((fail + 1)); }
# want NAME REGEX VALUE
want() { if [[ "$3" =~ $2 ]]; then ok "$1"; else bad "$1" "wanted /$2/, got: $3"; fi; }
until_true() { local end=$((SECONDS + $1)); shift; until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep .1; done; }
journal() { journalctl -u rr@app.service -o cat --no-pager "$@"; }
groups="/sys/fs/cgroup/system.slice/system-rr.slice/rr@app.service"
leaves() { ls -d "$groups"/workers/service/*/ 2>/dev/null | wc -l; }

echo "systemd $(systemctl --version | head -1), kernel $(uname -r)"
dpkg -i deb/*.deb >/tmp/dpkg 2>&1 || bad install "$(cat /tmp/dpkg)"
mkdir -p /srv/app
# A program whose child leaves its session and heeds no signal.
cat >/srv/app/program.sh <<'END'
echo "program says hello"
setsid sh -c 'trap "" INT TERM HUP; exec sleep 98765' &
trap 'exit 0' INT
while :; do sleep 1; done
END
# Takes locks by RPC, as PHP would: JSON in goridge frames.
cat >/srv/app/lock.php <<'END'
<?php
[, $method, $resource, $id, $ttl] = $argv;
$socket = stream_socket_client('unix:///run/rr/app/rpc.sock');
$name = "lock.$method";
$payload = $name . json_encode(['resource' => $resource, 'id' => $id, 'ttl' => (int) $ttl, 'wait' => 0]);
$head = pack('CCV', 0x15, 0x08, strlen($payload));
fwrite($socket, $head . pack('V', crc32($head)) . "\0\0" . pack('VV', 1, strlen($name)) . $payload);
$answer = fread($socket, 20);
echo substr(fread($socket, unpack('V', $answer, 2)[1]), strlen($name)), "\n";
END
cat >/etc/rr/app.yaml <<'END'
version: "3"
service:
  program: {command: "sh /srv/app/program.sh", process_num: 2, remain_after_exit: true, restart_sec: 1, timeout_stop_sec: 2}
END
chgrp rr /etc/rr/app.yaml
systemctl start rr@app.service && ok start || bad start "$(journal -n 30)"
rpc="rrctl -i app"

# --- services
until_true 30 eval '[ "$(pgrep -fc "sleep 98765")" = 2 ]'
want a-leaf-per-program '^2$' "$(leaves)"
pid=$(pgrep -f 'sh /srv/app/program.sh' | head -1)
want in-its-leaf 'workers/service/[0-9]+$' "$(cat "/proc/$pid/cgroup")"
want journal-fields 'program says hello' "$(journal RR_SERVICE=program RR_WORKER="$pid")"
want rrctl-service 'program +running' "$($rpc service 2>&1)"
kill -KILL "$pid"
until_true 30 eval '! grep -qs . /proc/'"$pid"'/status && [ "$(pgrep -fc "sleep 98765")" = 2 ] && [ "$(pgrep -fc program.sh)" -ge 2 ]' && ok killed-with-its-tree ||
    bad killed-with-its-tree "$(pgrep -fa 'sleep 98765|program.sh')"
want restart 'restarted' "$($rpc service restart program 2>&1)"
until_true 30 eval '[ "$(pgrep -fc "sleep 98765")" = 2 ]'
want leaves-are-removed '^2$' "$(leaves)"

# --- rrctl and the journal, systemd
want logs 'program says hello' "$($rpc logs --channel service 2>&1)"
want logs-of-a-worker 'program says hello service=program$' "$($rpc logs --worker "$(pgrep -f 'sh /srv/app/program.sh' | head -1)" -n 1 2>&1)"
want logs-by-level '^((-- No entries --)?|.*ended.*)$' "$($rpc logs --channel service -p err -n 1 2>&1)"
want logs-json '"RR_SERVICE":"program"' "$($rpc logs --channel service -n 1 --json 2>&1)"
want logs-grep '^0$' "$($rpc logs --channel service -g 'no such line at all' -n all 2>/dev/null | grep -vc -e '-- No entries --')"
timeout 20 $rpc logs -f -n 0 --channel service >/tmp/followed &
follower=$!
until_true 20 eval "$rpc service restart program && sleep 1 && grep -q 'program says hello' /tmp/followed" && ok logs-follow || bad logs-follow "$(cat /tmp/followed)"
kill $follower; wait $follower 2>/dev/null
until_true 30 eval '[ "$(pgrep -fc "sleep 98765")" = 2 ]'
units=$($rpc units 2>&1)
want units-exit '^0$' "$($rpc units >/dev/null 2>&1; echo $?)"
want units-service 'rr@app\.service +active \(running\)' "$units"
want units-json '"unit": "rr@app\.service"' "$($rpc units --json 2>&1)"
want units-of-all 'rr@app\.service' "$(rrctl units 2>&1)"
want units-none '^1$' "$(rrctl -i nothing units >/dev/null 2>&1; echo $?)"

# --- locks
lock() { php /srv/app/lock.php "$@"; }
want lock '"ok":true' "$(lock Lock written a 3600000000)"
want read '"ok":true' "$(lock LockRead read a 3600000000)"
want short '"ok":true' "$(lock Lock short a 1000)"
ttl() { $rpc locks --json | php -r 'foreach (json_decode(stream_get_contents(STDIN), true) as $r) if ($r["name"] === "written") printf("%.6f", $r["holders"][0]["ttl"]);'; }
before=$(ttl) at=$(cut -d' ' -f1 /proc/uptime)
systemctl restart rr@app.service && ok restart-of-the-unit || bad restart-of-the-unit "$(journal -n 30)"
after=$(ttl) now=$(cut -d' ' -f1 /proc/uptime)
want ttl-goes-on '^ok' "$(php -r '$lost = $argv[1] - $argv[2]; $took = $argv[4] - $argv[3]; echo abs($lost - $took) < 1 + $took / 2 ? "ok" : "lost $lost in $took";' "$before" "$after" "$at" "$now")"
want still-held '\{\}|false' "$(lock Lock written b 1000)"
want others-read '"ok":true' "$(lock LockRead read b 1000)"
want its-holder-releases '"ok":true' "$(lock Release written a 0)"
want ended-meanwhile '"ok":true' "$(lock Lock short b 1000)"
want held-again '"ok":true' "$(lock Lock written c 3600000000)"
systemctl stop rr@app.service
want nothing-is-left '^0$' "$(pgrep -fc 'sleep 98765')"
systemctl start rr@app.service
want a-stop-drops-locks '"ok":true' "$(lock Lock written d 1000)"

echo "$pass passed, $fail failed"
[ $fail = 0 ]

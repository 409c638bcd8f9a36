#!/bin/bash
# Runs as root on the booted machine (see run). One line for each check; the
# exit code says whether all passed.
pass=0 fail=0
ok() { echo "PASS $1"; pass=$((pass + 1)); }
bad() { echo "FAIL $1: $2"; fail=$((fail + 1)); }
# want NAME REGEX VALUE
want() { if [[ "$3" =~ $2 ]]; then ok "$1"; else bad "$1" "wanted /$2/, got: $3"; fi; }
get() { curl -sS -m 60 "http://127.0.0.1:8080$1" 2>&1; }
# until_true SECONDS COMMAND...: polls the command
until_true() { local end=$((SECONDS + $1)); shift; until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep .1; done; }
prop() { systemctl show -P "$1" rr@app.service; }
release() { ln -sfn "releases/$1" /srv/app/current.new && mv -T /srv/app/current.new /srv/app/current; }
# load starts constant load, unload ends it and prints what it saw
load() { ./hammer "http://127.0.0.1:8080${1:-/}" 4 >/tmp/hammer 2>&1 & hammer=$!; }
unload() { kill -TERM $hammer; while kill -0 $hammer 2>/dev/null; do sleep .05; done; tr '\n' ' ' </tmp/hammer; }

U=rr@app.service
echo "systemd $(systemctl --version | head -1), $(php -r 'echo PHP_VERSION;'), kernel $(uname -r)"

# --- install
out=$(dpkg -i deb/*.deb 2>&1) && ok install || bad install "$out"
want user '^rr:' "$(getent passwd rr)"
out=$(systemd-analyze verify --man=no /lib/systemd/system/rr@.service /lib/systemd/system/rr-http@.socket 2>&1)
want units-verify '^$' "$out"
mkdir -p /srv/app && cp -r app/releases /srv/app/ && release 1
install -m 640 -g rr app/app.yaml /etc/rr/app.yaml

# --- a socket held by systemd starts the application on the first connection
mkdir -p /etc/systemd/system/rr-http@app.socket.d
printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:8080\n' >/etc/systemd/system/rr-http@app.socket.d/listen.conf
systemctl daemon-reload
systemctl start rr-http@app.socket rr-rpc@app.socket
want not-running-yet '^inactive$' "$(systemctl is-active $U)"
want first-answer '^release 1$' "$(get /)"
want active '^active$' "$(systemctl is-active $U)"
systemctl start $U
want inherits-socket '^0$' "$(ss -ltnpH 'sport = :8080' | grep -vc systemd)"
want status-line 'http 2/2' "$(prop StatusText)"
want systemctl-status 'http 2/2' "$(systemctl status $U --no-pager)"
want rrctl-status 'ready' "$(rrctl --instance app status)"
want rrctl-workers 'ready' "$(rrctl --instance app workers)"

# --- with the PHP extension workers use its slots, without it shared memory by FFI
transports() { rrctl --instance app --json workers | grep -o '"transport": *"[a-z]*"' | cut -d'"' -f4 | sort -u | tr '\n' ' '; }
# (dpkg lists a package that php-rr only suggests as well)
extension=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 'php[0-9]*-rr' 2>/dev/null | sed -n 's/^installed //p')
want transport "^$([ -n "$extension" ] && echo slots || echo shm) \$" "$(transports)"

# --- the journal has fields
get /log >/dev/null
curl -sS -H 'X-Request-Id: req-4711' http://127.0.0.1:8080/log >/dev/null
until_true 10 sh -c "journalctl -u $U RR_REQUEST_ID=req-4711 -o json --no-pager | grep -q 'hello from the worker'"
j=$(journalctl -u $U RR_REQUEST_ID=req-4711 -o json --no-pager | grep 'hello from the worker')
want journal-pool '"RR_POOL":"http"' "$j"
want journal-worker '"RR_WORKER":"[0-9]+"' "$j"
want journal-instance '"RR_INSTANCE":"app"' "$j"
want journal-generation '"RR_GENERATION":"1"' "$j"

# --- reload: the old code stays when the new does not boot
release broken
out=$(systemctl reload $U 2>&1); rc=$?
want reload-broken-fails '^[1-9]' "$rc"
want reload-broken-serves '^release 1$' "$(get /)"
want reload-broken-active '^active$' "$(systemctl is-active $U)"
want reload-broken-says-why 'App.Missing.Kernel' "$(rrctl --instance app reload 2>&1)"
release 2
out=$(systemctl reload $U 2>&1) && ok reload || bad reload "$out"
want reload-new-release '^release 2$' "$(get /)"

# --- reload and restart under load lose nothing
load /
for i in 1 2 3 4 5; do
    release $((i % 2 + 1))
    systemctl reload $U || bad reload-under-load "reload $i failed"
done
want reload-under-load-loses-nothing 'ok=[1-9][0-9]* failed=0 refused=0' "$(unload)"
load /
for i in 1 2 3 4 5 6 7 8 9 10; do systemctl restart $U || bad restart "restart $i failed"; done
want restart-under-load-loses-nothing 'ok=[1-9][0-9]* failed=0 refused=0' "$(unload)"
get /slow >/tmp/slow & s=$!
sleep .1; systemctl restart $U; wait $s
want restart-finishes-running-request '^release [12]$' "$(cat /tmp/slow)"

# --- the daemon is killed: systemd holds the socket and starts it anew
p=$(prop MainPID)
load /
kill -9 "$p"
until_true 30 sh -c "[ \$(systemctl show -P MainPID $U) != $p ] && [ \$(systemctl show -P MainPID $U) != 0 ] && systemctl is-active $U"
until_true 30 sh -c "curl -sSf -m 5 http://127.0.0.1:8080/"
want killed-daemon-refuses-none 'refused=0' "$(unload)"
want killed-daemon-is-back '^active$' "$(systemctl is-active $U)"
want killed-daemon-leaves-no-worker '^2$' "$(pgrep -fc '^php worker.php')"

# --- a worker is killed: replaced, and the cause is in the log
w=$(get /pid); kill -9 "$w"
until_true 10 sh -c "journalctl -u $U RR_WORKER=$w -o json --no-pager | grep -q RR_CAUSE"
want killed-worker-cause 'signal|killed' "$(journalctl -u $U RR_WORKER="$w" -o json --no-pager | grep -o '"RR_CAUSE":"[^"]*"' | head -1)"
until_true 10 sh -c "[ \$(pgrep -fc '^php worker.php') = 2 ]" && ok killed-worker-replaced || bad killed-worker-replaced "$(pgrep -fa php)"
want after-killed-worker '^release [12]$' "$(get /)"

# --- upgrade of the package under load; an extension that was switched off stays so
if [ -n "$extension" ]; then
    want extension-was-used-all-along '^slots $' "$(transports)"
    phpdismod rr && systemctl reload $U || bad extension-off "$?"
    want extension-off '^shm $' "$(transports)"
fi
load /
out=$(dpkg -i deb-next/*.deb 2>&1) || bad upgrade "$out"
until_true 30 sh -c "rrctl --instance app version 2>&1 | grep -q 0.1.1"
want upgraded '0\.1\.1' "$(rrctl --instance app status 2>&1)"
want upgrade-under-load-loses-nothing 'ok=[1-9][0-9]* failed=0 refused=0' "$(unload)"

# --- the extension is taken away under load, and nobody sees it
if [ -n "$extension" ]; then
    want extension-stays-off '^0 shm $' "$(php -m | grep -cx rr) $(transports)"
    phpenmod rr && systemctl reload $U || bad extension-on "$?"
    want extension-on '^1 slots $' "$(php -m | grep -cx rr) $(transports)"
    load /
    out=$(dpkg -r "$extension" 2>&1) && systemctl reload $U || bad extension-removed "$out"
    want extension-removed '^0 shm $' "$(php -m | grep -cx rr) $(transports)"
    out=$(dpkg -i deb-next/"$extension"_*.deb 2>&1) && systemctl reload $U || bad extension-back "$out"
    want extension-back '^slots $' "$(transports)"
    want extension-swap-loses-nothing 'ok=[1-9][0-9]* failed=0 refused=0' "$(unload)"
    out=$(dpkg -P "$extension" 2>&1) && systemctl reload $U || bad extension-purged "$out"
    want extension-purged '^shm $' "$(transports)"
    want extension-leaves-nothing '^$' "$(find /etc/php /var/lib/php /usr/lib/php -name rr -o -name '*rr.ini*' -o -name rr.so)"
fi

# --- without socket units the bound socket outlives a restart in the descriptor store
systemctl stop $U rr-http@app.socket rr-rpc@app.socket
until_true 10 sh -c "! ss -ltnH 'sport = :8080' | grep -q ."
rm -r /etc/systemd/system/rr-http@app.socket.d; systemctl daemon-reload
systemctl start $U; want store-start '^release [12]$' "$(get /)"
load /
for i in 1 2 3; do systemctl restart $U; done
p=$(prop MainPID); kill -9 "$p"
until_true 30 sh -c "[ \$(systemctl show -P MainPID $U) != $p ] && systemctl is-active $U && curl -sSf -m 5 http://127.0.0.1:8080/"
want store-refuses-none 'refused=0' "$(unload)"

# --- bad configuration: a start that fails says why in one line
cp /etc/rr/app.yaml /tmp/good.yaml
systemctl stop $U
sed -i 's/num_workers/num_worker/' /etc/rr/app.yaml
systemctl start $U 2>/dev/null && bad bad-config "it started"
want bad-config-says-why 'num_worker.*num_workers' "$(journalctl -u $U -n 20 --no-pager -o cat)"
systemctl stop $U; systemctl reset-failed
cp /tmp/good.yaml /etc/rr/app.yaml
systemctl start $U && ok good-config-again || bad good-config-again "does not start"

# --- removal leaves nothing but configuration
dpkg -L rrd php-rr | while read -r f; do [ -d "$f" ] || echo "$f"; done >/tmp/installed
[ "$(wc -l </tmp/installed)" -gt 40 ] && ok installed-files || bad installed-files "$(cat /tmp/installed)"
dpkg -r php-rr rrd >/tmp/remove 2>&1 && ok remove || bad remove "$(cat /tmp/remove)"
want removed-stops-instances '^$' "$(pgrep -fa 'rrd|worker.php' | grep -v pgrep)"
want removed-files '^$' "$(while read -r f; do [ -e "$f" ] && echo "$f"; done </tmp/installed)"
want removed-run-and-state '^$' "$(find /run/rr /var/lib/rr /usr/share/rrd /usr/share/php/RR 2>/dev/null)"
want removed-units '^$' "$(systemctl list-units --all --no-legend 'rr@*' 'rr-*@*')"
[ -f /etc/rr/app.yaml ] && ok configuration-kept || bad configuration-kept "/etc/rr/app.yaml is gone"

[ -z "$LAB_OUT" ] || journalctl -u "$U" --no-pager -o short-precise >"$LAB_OUT/rr.txt"
echo "$pass passed, $fail failed"
[ $fail = 0 ]

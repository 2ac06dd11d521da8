#!/usr/bin/env bash
# Measures what tandem costs per message, per megabyte, per authentication, per idle session, per registration and per
# call, and beside it Kamailio (its msrp module, and as a SIP proxy) and HAProxy where they are installed. Called by ./dev bench;
# builds nothing.
#
#   bench/run.sh [--quick] [--bin DIR] [--only NAME[,NAME]] [--rows msrp|sip]    NAME: tandem kamailio haproxy
#
# Everything is on 127.0.0.1 and free ports; what is started is ended again, by its process id. CPU is user and system
# time of the relay's processes, so compare columns of one run, not runs: neighbours on the machine move them all.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quick=0 bin=build/bin only=tandem,kamailio,haproxy rows_of=msrp,sip
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=1 ;;
        --bin) bin=$2; shift ;;
        --only) only=$2; shift ;;
        --rows) rows_of=$2; shift ;;
        *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift
done
bench=$bin/msrpbench
[ -x "$bench" ] || { echo "bench: no $bench: run ./dev build first" >&2; exit 2; }
ulimit -n "$(ulimit -Hn)"

if [ "$quick" -eq 1 ]; then
    seconds=1 counts="1 100" idle=1000
else
    seconds=3 counts="1 10 100 1000" idle=10000
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/tandem-bench.XXXXXX")
user=bench password=bench-password
started=()
failed=0

end_all() {
    local p
    for p in "${started[@]}"; do
        kill "$p" 2>/dev/null
    done
    for p in "${started[@]}"; do
        ends_within 50 "$p" || kill -9 "$p" 2>/dev/null
        wait "$p" 2>/dev/null
    done
    started=()
}
ends_within() { # TENTHS PID
    local i
    for ((i = 0; i < $1; i++)); do
        kill -0 "$2" 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}
trap 'end_all; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

wants() { [[ ,$only,$rows_of, == *,$1,* ]]; }
have() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }
free_ports() { # N ports nobody has, over UDP and TCP; below those that the kernel gives to whoever connects meanwhile
    python3 -c '
import random, socket, sys
first = int(open("/proc/sys/net/ipv4/ip_local_port_range").read().split()[0])
held = {}
while len(held) < int(sys.argv[1]):
    port = random.randrange(first // 2, first)
    try:
        pair = [socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
        for s in pair: s.bind(("127.0.0.1", port))
        held[port] = pair
    except OSError:
        pass
for pair in held.values(): # before anybody reads what is printed
    for s in pair: s.close()
print(*held)' "$1"
}
listens_within() { # TENTHS PORT
    local i
    for ((i = 0; i < $1; i++)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null && return 0
        sleep 0.1
    done
    return 1
}
fill() { # FILE NAME=VALUE...: the file with every @NAME@ replaced
    local file=$1 a script=
    shift
    for a in "$@"; do
        script+="s|@${a%%=*}@|${a#*=}|g;"
    done
    sed "$script" "$file"
}

certificate() {
    { echo 'cn = "bench"'; echo 'dns_name = "localhost"'; echo 'ip_address = "127.0.0.1"'; echo tls_www_server
      echo 'expiration_days = 30'; echo signing_key; } >"$dir/cert.cfg"
    certtool --generate-privkey --key-type ecdsa --outfile "$dir/key.pem" &&
        certtool --generate-self-signed --load-privkey "$dir/key.pem" --template "$dir/cert.cfg" --outfile "$dir/cert.pem"
} >"$dir/certtool.log" 2>&1

# --- the servers: each start sets $server (its process) and $plain, $tls (relay URIs) -----------------------

start() { # LOG COMMAND...
    local log=$1
    shift
    "$@" >"$dir/$log" 2>&1 </dev/null &
    server=$!
    started+=("$server")
}

start_tandem() { # ACCOUNTING [ALGORITHMS [OPTION...]]
    local port
    read -r port < <(free_ports 1)
    rm -f "$dir"/tandem.db*
    fill bench/tandem.ini "PORT=$port" "DIR=$dir" "ACCOUNTING=$1" "ALGORITHMS=${2:-SHA-256 MD5}" WORKERS=1 >"$dir/tandem.ini"
    echo "$password" | "$bin/tandemctl" -c "$dir/tandem.ini" user add "$user@bench" >"$dir/user.log" 2>&1 || { cat "$dir/user.log" >&2; return 1; }
    start tandem.log "$bin/tandemd" -c "$dir/tandem.ini" "${@:3}"
    listens_within 100 "$port" || { tail -n 5 "$dir/tandem.log" >&2; return 1; }
    plain=msrp://127.0.0.1:$port tls=msrps://127.0.0.1:$port sip_port=$port
}

start_kamailio() { # plain or tls
    local port tlsport
    read -r port tlsport < <(free_ports 2)
    if [ "$1" = tls ]; then
        fill bench/kamailio.cfg "PORT=$port" "TLSPORT=$tlsport" "USEPORT=$tlsport" WORKERS=1 "DIR=$dir" |
            sed 's/^#TLS#//' >"$dir/kamailio.cfg"
    else
        fill bench/kamailio.cfg "PORT=$port" "USEPORT=$port" WORKERS=1 | sed '/^#TLS#/d' >"$dir/kamailio.cfg"
    fi
    mkdir -p "$dir/kamailio"
    start kamailio.log "$(PATH=$PATH:/usr/sbin command -v kamailio)" -f "$dir/kamailio.cfg" -DD -E -m 2048 -M 16 -Y "$dir/kamailio"
    listens_within 100 "$port" || { tail -n 5 "$dir/kamailio.log" >&2; return 1; }
    plain=msrp://127.0.0.1:$port tls=msrps://127.0.0.1:$tlsport
}

start_haproxy() {
    local port
    read -r port back < <(free_ports 2)
    fill bench/haproxy.cfg "PORT=$port" "BACK=$back" >"$dir/haproxy.cfg"
    start haproxy.log "$(PATH=$PATH:/usr/sbin command -v haproxy)" -f "$dir/haproxy.cfg" -db
    listens_within 100 "$port" || { tail -n 5 "$dir/haproxy.log" >&2; return 1; }
    via=127.0.0.1:$port
}

# --- one measurement: a cell of the table ---------------------------------------------------------------

declare -A cell
rows=()
row() { # ID TEXT
    rows+=("$1|$2")
}
field() { sed -n "s/.*\"$1\":\([-0-9.]*\).*/\1/p" <<<"$2"; }

# ROW COLUMN KIND SCENARIO OPTION...; KIND says what the cell shows
measure() {
    local at=$1 column=$2 kind=$3 out n
    shift 3
    printf '  %-9s %s\n' "$column" "$at" >&2
    out=$("$bench" "$@" --pid "$server" --json 2>"$dir/bench.log")
    if [ -z "$out" ] || [ "$(field failures "$out")$(field wrong "$out")$(field lost "$out")" != 000 ]; then
        echo "bench: $column, $at: $(cat "$dir/bench.log") $out" >&2
        cell[$at/$column]=fails
        [ "$column" != tandem ] || failed=1
        [ -n "$out" ] || return
    fi
    [ -z "${cell[$at/$column]:-}" ] || return
    case $kind in
        message) n="$(field messages "$out") $(field cpu_s "$out") $(field seconds "$out")"
            cell[$at/$column]=$(awk '{ printf "%.2f us, %.0f/s", $2 * 1e6 / $1, $1 / $3 }' <<<"$n") ;;
        bulk) n="$(field octets "$out") $(field cpu_s "$out") $(field seconds "$out")"
            cell[$at/$column]=$(awk '{ printf "%.0f us, %.0f MB/s", $2 * 1e12 / $1, $1 / 1e6 / $3 }' <<<"$n") ;;
        auth) n="$(field auths "$out") $(field cpu_s "$out") $(field seconds "$out")"
            cell[$at/$column]=$(awk '{ printf "%.1f us, %.0f/s", $2 * 1e6 / $1, $1 / $3 }' <<<"$n") ;;
        idle) n="$(field sessions "$out") $(field pss "$out") $(field rss "$out")"
            cell[$at/$column]=$(awk '{ printf "%.1f (%.1f) KiB", $2 / 1024 / $1, $3 / 1024 / $1 }' <<<"$n") ;;
    esac
}

row_names() {
    local n
    for n in $counts; do
        row "200B-16-$n" "CPU a message: 200 B, 16 outstanding, $n session(s)"
    done
    row 200B-1 "  the same, 1 outstanding, 100 sessions"
    row 200B-tls "  the same over TLS, 16 outstanding, 100 sessions"
    row bulk-chunks "CPU a MB: bulk in chunks of 8,000 octets"
    row bulk-one "  bulk in one chunk of 100 MB"
    row bulk-tls "  bulk over TLS, chunks of 8,000 octets"
    row auth-reuse "CPU an AUTH (401 and 200) on a connection that stays"
    row auth-plain "  with a new TCP connection each"
    row auth-tls "  with a new TLS connection each"
    row idle-plain "memory of an idle session ($idle): proportional (resident)"
    row idle-tls "  over TLS"
}

load() { # COLUMN TARGET-OPTION...: messages and bulk in the clear
    local column=$1 n
    shift
    for n in $counts; do
        measure "200B-16-$n" "$column" message messages "$@" --sessions "$n" --seconds "$seconds"
    done
    measure 200B-1 "$column" message messages "$@" --sessions 100 --window 1 --seconds "$seconds"
    measure bulk-chunks "$column" bulk bulk "$@" --chunk 8000 --size 10000000 --seconds "$seconds"
}
authenticate() { # COLUMN RELAY-IN-THE-CLEAR
    measure auth-reuse "$1" auth auth -r "$2" "${login[@]}" --sessions 16 --reuse 100 --seconds "$seconds"
    measure auth-plain "$1" auth auth -r "$2" "${login[@]}" --sessions 16 --seconds "$seconds"
}
over_tls() { # COLUMN RELAY
    measure 200B-tls "$1" message messages -r "$2" "${login[@]}" --sessions 100 --seconds "$seconds"
    measure bulk-tls "$1" bulk bulk -r "$2" "${login[@]}" --chunk 8000 --size 10000000 --seconds "$seconds"
    measure auth-tls "$1" auth auth -r "$2" "${login[@]}" --sessions 16 --seconds "$seconds"
}

. bench/sip.sh
login=(-u "$user" -w "$password" -k)
columns=()
certificate || { cat "$dir/certtool.log" >&2; exit 2; }
wants msrp && row_names
wants sip && { sip_row_names; sip_users_csv >"$dir/sip-users.csv"; }

tandem_msrp() {
    columns+=(tandem +accounting +script)
    if start_tandem no; then
        load tandem -r "$plain" "${login[@]}"
        measure bulk-one tandem bulk bulk -r "$plain" "${login[@]}" --size 100000000 --seconds "$seconds"
        authenticate tandem "$plain"
        over_tls tandem "$tls"
        end_all
    else
        failed=1
    fi
    start_tandem no && measure idle-plain tandem idle idle -r "$plain" "${login[@]}" --sessions "$idle"
    end_all
    start_tandem no && measure idle-tls tandem idle idle -r "$tls" "${login[@]}" --sessions "$idle"
    end_all
    start_tandem yes && load +accounting -r "$plain" "${login[@]}"
    end_all
    start_tandem no MD5 -o script.file=etc/examples/msrp-cmap.lua -o msrp.event_callback=ksr_msrp_event &&
        load +script -r "$plain" "${login[@]}"
    end_all
}
kamailio_msrp() {
    if start_kamailio plain; then
        load Kamailio -r "$plain" "${login[@]}"
        authenticate Kamailio "$plain"
    fi
    end_all
    start_kamailio plain && measure idle-plain Kamailio idle idle -r "$plain" "${login[@]}" --sessions "$idle"
    end_all
    if start_kamailio tls; then
        over_tls Kamailio "$tls"
    fi
    end_all
    start_kamailio tls && measure idle-tls Kamailio idle idle -r "$tls" "${login[@]}" --sessions "$idle"
    end_all
}
haproxy_msrp() {
    columns+=(HAProxy)
    if start_haproxy; then
        direct=(--via "$via" --listen "127.0.0.1:$back")
        load HAProxy "${direct[@]}"
        measure bulk-one HAProxy bulk bulk "${direct[@]}" --size 100000000 --seconds "$seconds"
    fi
    end_all
}

if wants tandem && [ -x "$bin/tandemd" ]; then
    if wants msrp; then tandem_msrp; else columns+=(tandem +accounting +script); fi
    ! wants sip || { tandem_sip tandem; tandem_sip +accounting; tandem_sip +script; }
fi
if wants kamailio && have kamailio; then
    columns+=(Kamailio)
    wants msrp && kamailio_msrp
    ! wants sip || kamailio_sip
fi
if wants haproxy && wants msrp && have haproxy; then
    haproxy_msrp
fi

printf '%-58s' ""
printf '%22s' "${columns[@]}"
echo
for r in "${rows[@]}"; do
    printf '%-58s' "${r#*|}"
    for c in "${columns[@]}"; do
        printf '%22s' "${cell[${r%%|*}/$c]:--}"
    done
    echo
done
! wants msrp || echo "HAProxy passes bytes between the two ends and knows no MSRP. Kamailio and tandem run one worker."
! wants sip || sip_note
exit "$failed"

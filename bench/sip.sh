#!/usr/bin/env bash
# The SIP rows of bench/run.sh, which sources this: registrations and calls by sipp, over UDP and TCP. CPU is that of the server
# and all its processes at a rate that each of them carries, up to the end of the last transaction, so that no row pays for
# the one before; the highest rates are found in steps, after all else, and one call or registration that fails, or one
# message that had to be sent again, ends the search.

sip_users=500
register_rate=300 call_rate=700 cpu_seconds=5 step_seconds=3 # rates for CPU that all columns carry
kept_rate=50                                                 # what Kamailio still carries when it writes at once
sip_end_seconds=36                                      # timers H and J, 32 s after the last response (RFC 3261, 17.2), and some more

cpu_ticks() { # PID: of it and all below it, in 1/100 s
    cat /proc/[0-9]*/stat 2>/dev/null | sed 's/^\([0-9]*\) (.*) [A-Za-z] /\1 /' | awk -v root="$1" '
        { parent[$1] = $2; ticks[$1] = $12 + $13 }
        END {
            for (p in parent) {
                for (at = p; at in parent && at != root; at = parent[at]);
                if (at == root) sum += ticks[p]
            }
            print sum + 0
        }'
}

sipp_run() { # SCENARIO MODE ARGUMENT...
    local scenario=$1 mode=$2
    shift 2
    timeout -k 2 "${sipp_seconds:-700}" sipp "127.0.0.1:$sip_port" -i 127.0.0.1 -t "$mode" -sf "bench/sip/$scenario.xml" -nostdin -nd -auth_uri bench -l 8000 "$@" -s "callee-${mode:0:1}" >>"$dir/sipp.log" 2>&1 </dev/null
}

appears_within() { # TENTHS FILE
    local i
    for ((i = 0; i < $1; i++)); do
        [ -e "$2" ] && return 0
        sleep 0.1
    done
    return 1
}

sipp_said() { # what it complained about last
    grep -a 'errno\|unexpected\|aborting' "$dir/sipp.log" | tail -n 1
}

# One load: $done_n $lost $seconds_taken from sipp's own count, which it writes down every second, as over TCP it waits for an answer
# that does not come until it is ended.
sipp_load() { # SCENARIO MODE RATE COUNT
    local port
    read -r port < <(free_ports 1)
    rm -f "$dir/sipp.csv"
    sipp_seconds=$(($4 / $3 + 10)) sipp_run "$1" "$2" -p "$port" -inf "$dir/sip-users.csv" -r "$3" -m "$4" -trace_stat -stf "$dir/sipp.csv" -fd 1
    tr -d '\r' <"$dir/sipp.csv" 2>/dev/null | awk -F';' '
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
        { for (i = 1; i <= NF; i++) last[i] = $i }
        END {
            split(last[at["ElapsedTime(C)"]], t, ":")
            print last[at["SuccessfulCall(C)"]] + 0, last[at["FailedCall(C)"]] + last[at["Retransmissions(C)"]], t[1] * 3600 + t[2] * 60 + t[3]
        }'
}

sip_cpu() { # ROW COLUMN SCENARIO MODE RATE
    local before after n lost took rate=$5
    local count=$((rate * cpu_seconds))
    printf '  %-9s %s\n' "$2" "$1" >&2
    before=$(cpu_ticks "$server")
    read -r n lost took < <(sipp_load "$3" "$4" "$rate" "$count")
    [ "$quick" -eq 1 ] || sleep "$sip_end_seconds"
    after=$(cpu_ticks "$server")
    if [ "${n:-0}" -ne "$count" ]; then
        echo "bench: $2, $1: ${n:-0} of $count; sipp says: $(sipp_said)" >&2
        cell[$1/$2]=fails
        return
    fi
    cell[$1/$2]=$(awk -v t="$((after - before))" -v n="$n" 'BEGIN { printf "%.0f us", t * 1e4 / n }')
}

# Highest rate, in steps of two fifths, at which nothing is lost, sent again or late.
sip_rate() { # ROW COLUMN SCENARIO MODE
    local rate=500 best=0 n lost took count
    while [ "$rate" -le 12000 ]; do
        count=$((rate * step_seconds))
        read -r n lost took < <(sipp_load "$3" "$4" "$rate" "$count")
        [ "${n:-0}" -eq "$count" ] && [ "$lost" -eq 0 ] && awk -v t="$took" -v s="$step_seconds" 'BEGIN { exit t > s * 1.2 + 0.3 }' || break
        best=$rate
        rate=$((rate * 7 / 5))
    done
    cell[$1/$2]+=", $best/s"
    sleep "$sip_end_seconds" # the step that was too much goes on for so long
}

sip_row_names() {
    row sip-register-udp "CPU a registration with digest, $register_rate/s, highest rate: UDP"
    row sip-register-tcp "  TCP"
    row sip-kept-udp "  CPU, $kept_rate/s, each on the disk before its 200: UDP"
    row sip-kept-tcp "  TCP"
    row sip-call-udp "CPU a call (INVITE to BYE), $call_rate/s, highest rate: UDP"
    row sip-call-tcp "  TCP"
}

# The same users for both, as rows that both read.
sip_users_sql() {
    local u
    for u in callee-u callee-t $(seq -f 'u%.0f' "$sip_users"); do # a callee for each transport: it has one contact only
        printf "INSERT INTO subscriber(username, domain, password, ha1, ha1b) VALUES('%s', 'bench', '', '%s', '');\n" "$u" \
            "$(printf '%s:bench:%s' "$u" "$password" | md5sum | cut -c1-32)"
    done
}
sip_users_csv() {
    local u
    echo SEQUENTIAL
    for u in $(seq -f 'u%.0f' "$sip_users"); do
        echo "$u;[authentication username=$u password=$password];"
    done
}

sip_note() {
    echo "Registrations: tandem's are on the disk before the 200 in all rows, Kamailio's are written by a timer (usrloc's db_mode 2) but in the rows that say so (db_mode 1)."
    echo "Calls: neither keeps accounts, but for +accounting; +script routes by etc/examples/sip-basic.lua, Kamailio+Lua by bench/kamailio-sip.lua. A highest rate is the last step without a failure or a message sent again."
}

start_kamailio_sip() { # DB_MODE [LUA-FILE]; sets $server and $sip_port
    local tables=/usr/share/kamailio/db_sqlite
    [ -r "$tables/usrloc-create.sql" ] || { echo "bench: no $tables: install kamailio-sqlite-modules" >&2; return 1; }
    read -r sip_port < <(free_ports 1)
    rm -f "$dir/kamailio.db"
    { cat "$tables"/{standard,auth_db,usrloc}-create.sql; sip_users_sql; } | sqlite3 "$dir/kamailio.db" || return 1
    fill bench/kamailio-sip.cfg "PORT=$sip_port" "DIR=$dir" "DBMODE=$1" >"$dir/kamailio-sip.cfg"
    [ -z "${2:-}" ] || printf 'loadmodule "app_lua.so"\nmodparam("app_lua", "load", "%s")\ncfgengine "lua"\n' "$2" >>"$dir/kamailio-sip.cfg"
    mkdir -p "$dir/kamailio"
    start kamailio-sip.log "$(PATH=$PATH:/usr/sbin command -v kamailio)" -f "$dir/kamailio-sip.cfg" -DD -E -m 2048 -M 16 -Y "$dir/kamailio"
    listens_within 100 "$sip_port" || { tail -n 5 "$dir/kamailio-sip.log" >&2; return 1; }
}

# with_callee MODE ROW COLUMN COMMAND...: while somebody answers calls.
with_callee() {
    local mode=$1 row=$2 column=$3 callee port
    shift 3
    read -r port < <(free_ports 1)
    rm -f "$dir/ready"
    sipp_run callee-register "${mode:0:1}1" -p "$port" -oocsf bench/sip/callee.xml -m 1 -au "callee-${mode:0:1}" -ap "$password" -key ready "$dir/ready" &
    callee=$!
    started+=("$callee")
    if appears_within 100 "$dir/ready"; then
        "$@"
    else
        echo "bench: $column, $mode: the callee could not register; sipp says: $(sipp_said)" >&2
        cell[$row/$column]=fails
    fi
    pkill -P "$callee" # what runs there, which passes it on to sipp
    wait "$callee" 2>/dev/null
}

sip_registrations() { # COLUMN
    local mode
    for mode in udp tcp; do
        sip_cpu sip-register-$mode "$1" register "${mode:0:1}1" "$register_rate"
    done
}

sip_kept() { # COLUMN
    local mode
    for mode in udp tcp; do
        sip_cpu sip-kept-$mode "$1" register "${mode:0:1}1" "$kept_rate"
    done
}

sip_calls() { # COLUMN
    local mode
    for mode in udp tcp; do
        with_callee "$mode" sip-call-$mode "$1" sip_cpu sip-call-$mode "$1" caller "${mode:0:1}1" "$call_rate"
    done
}

sip_rates() { # COLUMN
    local mode
    [ "$quick" -eq 0 ] || return 0
    for mode in udp tcp; do
        sip_rate sip-register-$mode "$1" register "${mode:0:1}1"
        with_callee "$mode" sip-call-$mode "$1" sip_rate sip-call-$mode "$1" caller "${mode:0:1}1"
    done
}

tandem_sip() { # COLUMN; ends what it has started
    local accounts=no options=()
    [ "$1" != +accounting ] || accounts=yes
    if [ "$1" = +script ]; then # as in the other columns, calls are not challenged
        sed 's/^local AUTHENTICATE = true/local AUTHENTICATE = false/' etc/examples/sip-basic.lua >"$dir/sip-basic.lua"
        options=(-o "script.file=$dir/sip-basic.lua" -o sip.event_callback=ksr_request_route)
    fi
    # Digest is MD5, as Kamailio's.
    if start_tandem "$accounts" MD5 "${options[@]}" && sip_users_sql | sqlite3 -cmd '.timeout 5000' "$dir/tandem.db"; then
        [ "$1" = +accounting ] || sip_registrations "$1"
        [ "$1" != tandem ] || sip_kept "$1"
        sip_calls "$1"
        [ "$1" = +accounting ] || sip_rates "$1"
    else
        failed=1
    fi
    end_all
}

kamailio_sip() {
    start_kamailio_sip 2 && sip_registrations Kamailio && sip_calls Kamailio && sip_rates Kamailio
    end_all
    start_kamailio_sip 1 && sip_kept Kamailio
    end_all
    compgen -G "/usr/lib/*/kamailio/modules/app_lua.so" >/dev/null || return
    columns+=(Kamailio+Lua)
    start_kamailio_sip 2 "$PWD/bench/kamailio-sip.lua" && sip_registrations Kamailio+Lua && sip_calls Kamailio+Lua && sip_rates Kamailio+Lua
    end_all
}

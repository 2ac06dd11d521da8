#!/bin/sh
# Checks every manual page with mandoc, and that those of the programs have all options. Run from the build tree;
# srcdir is where the sources are.
if ! command -v mandoc >/dev/null; then
    echo "man: mandoc is not installed"
    exit 77
fi
passed=0 failed=0
for page in "${TANDEM_BUILD:-.}"/man/*.[1-8] "${srcdir:-.}"/man/*.[1-8]; do
    [ -f "$page" ] || continue
    faults=$(mandoc -T lint -W warning "$page" 2>&1; grep -n '@[A-Za-z]*@' "$page")
    if [ -z "$faults" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$faults"
    fi
done

# Every option a program's summary shows must be in its page.
for program in msrpcat msrpbench; do
    page=${srcdir:-.}/man/$program.1
    [ -x "${TANDEM_BUILD:-.}/bin/$program" ] && [ -f "$page" ] || continue
    missing=
    for option in $("${TANDEM_BUILD:-.}/bin/$program" --help | grep -oE -e '--[a-z-]+' | sort -u); do
        grep -qE -e "Fl .*-${option#--}( |\$)" "$page" || missing="$missing $option"
    done
    if [ -z "$missing" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$program.1 lacks$missing"
    fi
done
[ "$passed" -ge 3 ] || failed=$((failed + 1))
echo "man: $passed passed, $failed failed"
[ "$failed" -eq 0 ]

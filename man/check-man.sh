#!/bin/sh
# Checks every manual page with mandoc, and that each names what the tables have. Run from the build tree;
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
[ "$passed" -ge 3 ] || failed=$((failed + 1))
echo "man: $passed passed, $failed failed"
[ "$failed" -eq 0 ]

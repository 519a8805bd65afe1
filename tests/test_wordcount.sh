#!/bin/sh
# Compares examples/wordcount with tr, sort and uniq on a tree of difficult files.
#
#   test_wordcount.sh BUILD_DIR
#
# Prints a line for each failure and a closing line; exits with 1 when anything failed.
set -u
LC_ALL=C
export LC_ALL

[ $# -eq 1 ] || {
    echo "usage: $0 BUILD_DIR" >&2
    exit 2
}
wordcount=$(cd "$1" && pwd)/examples/wordcount/wordcount
[ -x "$wordcount" ] || wordcount=$(cd "$1" && pwd)/examples/wordcount
if [ ! -f "$wordcount" ] || [ ! -x "$wordcount" ]; then
    echo "FAILED: no wordcount in $1/examples"
    echo "0 passed, 1 failed"
    exit 1
fi

tmp=$(mktemp -d) || exit 2
trap 'chmod -R u+rwx "$tmp" 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM HUP
tree=$tmp/tree
passed=0
failed=0

# ok WHAT STATUS [FILE]: count a check; FILE shows why it failed
ok()
{
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $1"
        [ $# -lt 3 ] || sed 's/^/    /' "$3" | cut -c 1-200 | head -10
    fi
}

# run WANTED_STATUS ARGUMENT...: output in $tmp/out and $tmp/err; 0 when the status is the wanted one
run()
{
    wanted=$1
    shift
    timeout -k 5 120 "$wordcount" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    status=$?
    [ "$status" -eq "$wanted" ] || {
        echo "    ended with $status: $*"
        return 1
    }
}

make_tree()
{
    mkdir -p "$tree/plain/deep/er" "$tree/loop" "$tree/empty dir" "$tree/many"
    printf 'The cat, the dog and the-cat: Cat cat_cat 7cats\n' >"$tree/plain/a.txt"
    printf 'no newline at the end' >"$tree/plain/deep/b"
    printf 'one\0two three\n' >"$tree/plain/deep/binary"
    printf 'caf\303\251 na\303\257ve \377\376 \001ctrl\n' >"$tree/plain/deep/er/name with
newline"
    : >"$tree/plain/empty"
    printf '12345 !? \n\n' >"$tree/plain/no words"
    # A NUL byte after the first 8 KiB is text still, and ends a word.
    { yes 'filler text' | head -c 9000; printf 'left\0right\n'; } >"$tree/plain/late nul"
    i=0
    while [ $i -lt 300 ]; do
        echo "file number$i of many" >"$tree/many/$i"
        i=$((i + 1))
    done
    ln "$tree/plain/a.txt" "$tree/many/hard link" # a file twice: counted twice
    ln -s ../plain/a.txt "$tree/many/soft link"   # not followed
    ln -s .. "$tree/loop/up"
    ln -s loop "$tree/loop/loop"
    ln -s nowhere "$tree/loop/dangling"

    # Larger than a piece: words everywhere, and so at every border.  Lines of changing length keep
    # the borders from falling on the same column.
    awk 'BEGIN {
        for (i = 0; i < 650000; i++)
            printf "line%d borders %s Fall where they may in a file that is long%s\n", i % 5003,
                substr("abcdefghijklmnopqrstuvwxyz", 1, 1 + i % 26), i % 7 ? "" : " -- Anyway"
    }' >"$tree/large"
    # A word of 1 MB, between others; and one of 12 MB, over several pieces, at the end.
    { printf 'before '; head -c 1000000 /dev/zero | tr '\0' 'w'; printf ' after\n'; } >"$tree/long"
    { printf 'start '; head -c 12000000 /dev/zero | tr '\0' 'Z'; } >"$tree/longer"
}

# What plain tools count: text files only, words file by file.
count_plainly()
{
    find "$tree" -type f -exec sh -c '
        for file; do
            [ "$(head -c 8192 "$file" | tr -cd "\000" | wc -c)" -eq 0 ] || continue
            tr -cs A-Za-z "\n" <"$file"
            echo
        done' sh {} + | grep . | sort | uniq -c
}

# total NAME: a number of the report in $tmp/out
total()
{
    awk -v name="$1" '$1 == name { print $2 }' "$tmp/out"
}

check_counts()
{
    words=$(awk '{ n += $1 } END { printf "%d", n }' "$tmp/want")
    distinct=$(($(wc -l <"$tmp/want")))
    for method in fork spawn forkserver; do
        for workers in 1 2 5; do
            run 0 -j "$workers" --start-method "$method" --all "$tree"
            ok "--all -j $workers $method: status" $? "$tmp/err"
            cmp -s "$tmp/want" "$tmp/out"
            ok "--all -j $workers $method: words as of sort and uniq" $?
            [ ! -s "$tmp/err" ]
            ok "--all -j $workers $method: nothing on stderr" $? "$tmp/err"
        done
    done
    run 0 -j 2 "$tree"
    ok "report: status" $? "$tmp/err"
    [ "$(total words)" = "$words" ] && [ "$(total distinct)" = "$distinct" ] &&
        [ "$(total skipped)" = 1 ] && [ "$(total files)" = 310 ]
    ok "report: totals ($words words, $distinct distinct, 310 files, 1 skipped)" $? "$tmp/out"
    sort -k1,1nr -k2,2 "$tmp/want" | head -n 10 | cut -c 1-200 >"$tmp/top"
    tail -n 10 "$tmp/out" | cut -c 1-200 | cmp -s - "$tmp/top"
    ok "report: the ten most frequent words" $? "$tmp/out"
    run 0 --top 3 -j 1 "$tree" && [ "$(grep -c '^ *[0-9][0-9]* [A-Za-z]*$' "$tmp/out")" -eq 3 ]
    ok "--top 3: three words" $? "$tmp/out"
}

check_roots()
{
    run 0 --all "$tree/plain" "$tree/plain/deep" "$tree/plain" && cp "$tmp/out" "$tmp/twice" &&
        run 0 --all "$tree/plain" && cmp -s "$tmp/out" "$tmp/twice"
    ok "a directory named twice is counted once" $?
    run 0 --all "$tree/plain/a.txt" && [ "$(awk '$2 == "the" { print $1 }' "$tmp/out")" = 2 ]
    ok "a file as DIR" $? "$tmp/err"
    run 0 --all "$tree/loop" && [ ! -s "$tmp/out" ]
    ok "links that loop and dangle: no words" $? "$tmp/out"
    run 0 "$tree/empty dir" && [ "$(total files)" = 0 ] && [ "$(total distinct)" = 0 ]
    ok "an empty directory: zeros" $? "$tmp/out"
    run 0 --all "$tree/not there" "$tree/plain/deep/b" && grep -q 'not there: No such' "$tmp/err" &&
        grep -q '^wordcount: 1 ' "$tmp/err" && grep -q ' newline$' "$tmp/out"
    ok "a missing DIR is reported, the others are counted" $? "$tmp/err"
    if [ "$(id -u)" -eq 0 ]; then
        echo "skipped: unreadable files, since root reads them all"
        return
    fi
    mkdir "$tmp/closed" "$tmp/closed/directory"
    echo secret >"$tmp/closed/file"
    echo public >"$tmp/closed/open"
    chmod 0 "$tmp/closed/file" "$tmp/closed/directory"
    run 0 --all "$tmp/closed" && grep -q 'closed/file: ' "$tmp/err" &&
        grep -q 'closed/directory: ' "$tmp/err" && grep -q '^wordcount: 2 ' "$tmp/err" &&
        [ "$(cat "$tmp/out")" = "      1 public" ]
    ok "unreadable files and directories are reported and left out" $? "$tmp/err"
}

check_options()
{
    run 0 --help && grep -q '^usage: ' "$tmp/out"
    ok "--help" $?
    for bad in "-j 0" "-j x" "-j" "--top -1" "--top 1x" "--start-method thread" "--start-method" \
        "--nonsense" "-x"; do
        # shellcheck disable=SC2086 # two words on purpose
        run 2 $bad && [ -s "$tmp/err" ] && [ ! -s "$tmp/out" ]
        ok "wrong command line: $bad" $? "$tmp/err"
    done
    run 0 -j2 --top=1 --start-method=fork -- "$tree/plain" && [ "$(tail -n 1 "$tmp/out" | wc -w)" -eq 2 ]
    ok "values in the same argument, --" $? "$tmp/err"
    if [ -c /dev/full ]; then
        "$wordcount" --all "$tree/plain" >/dev/full 2>"$tmp/err" </dev/null
        [ $? -eq 1 ] && [ -s "$tmp/err" ]
        ok "a full disk is an error" $? "$tmp/err"
    fi
}

# The pid of a child of process $1 that has worked for 50 ms or more.
busy_child()
{
    cat /proc/[0-9]*/stat 2>/dev/null |
        awk -v parent="$1" '$4 == parent && $14 + $15 >= 5 { print $1; exit }'
}

check_death()
{
    [ -r /proc/self/stat ] || {
        echo "skipped: the death of a worker, since there is no /proc to find one"
        return
    }
    mkdir "$tmp/much"
    i=0
    while [ $i -lt 40 ]; do # work for some seconds; all but a moment of it is cut off
        ln "$tree/large" "$tmp/much/$i"
        i=$((i + 1))
    done
    "$wordcount" -j 2 --start-method fork "$tmp/much" >"$tmp/out" 2>"$tmp/err" </dev/null &
    parent=$!
    worker=
    while [ -z "$worker" ] && kill -0 "$parent" 2>/dev/null; do
        worker=$(busy_child "$parent")
    done
    [ -z "$worker" ] || kill -KILL "$worker"
    wait "$parent"
    [ $? -eq 1 ] && [ ! -s "$tmp/out" ] && grep -q 'signal 9' "$tmp/err"
    ok "a worker that is killed: an error that says so" $? "$tmp/err"
}

make_tree
count_plainly >"$tmp/want"
check_counts
check_roots
check_options
check_death
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

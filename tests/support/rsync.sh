#!/bin/sh
# Stands before the real rsync: records each call, and does what the test laid down for it.
calls=@calls@
real=@real@

for argument; do
    case $argument in
    --help | --version | -V)
        # A question about rsync itself is not a call.
        if [ -e "$calls/old" ]; then
            "$real" "$@" | sed '/--trust-sender/d'
            exit
        fi
        exec "$real" "$@"
        ;;
    esac
done

n=1
until mkdir "$calls/$n" 2>/dev/null; do n=$((n + 1)); done
: >"$calls/$n/arguments.part"
for argument; do
    printf '%s\0' "$argument" >>"$calls/$n/arguments.part"
    case $argument in
    --files-from=-)
        cat >"$calls/$n/files-from"
        exec <"$calls/$n/files-from"
        ;;
    --files-from=*) cp "${argument#--files-from=}" "$calls/$n/files-from" ;;
    esac
done
mv "$calls/$n/arguments.part" "$calls/$n/arguments"

if [ -e "$calls/old" ]; then
    for argument; do
        if [ "$argument" = --trust-sender ]; then
            echo "rsync: --trust-sender: unknown option" >&2
            echo "rsync error: syntax or usage error (code 1) at main.c(1795) [client=3.1.3]" >&2
            exit 1
        fi
    done
fi
if [ -e "$calls/before.$n" ]; then . "$calls/before.$n"; fi
if [ -e "$calls/after.$n" ]; then
    "$real" "$@"
    status=$?
    . "$calls/after.$n"
    exit $status
fi
exec "$real" "$@"

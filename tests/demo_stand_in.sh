#!/bin/sh
# Stands for the program in a demonstration: mirrors with plain rsync. What it is made to do wrong is in $flaw.
flaw=@flaw@
config=$2
shift 2
value() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" "$config"; }
url=$(value upstream) root=$(value root) state=$(value state)
archive=archive/fullfiletimelist-archive fedora=fedora/fullfiletimelist-fedora
calls=1 held=0 code=0

mkdir -p "$state"
printf '%s\n' "$archive" "$fedora" | rsync -t --files-from=- "$url/" "$state/" || exit 5
[ "$flaw" = interrupt ] && kill -TERM "$PPID" && exec sleep 60
[ "$flaw" = chatty ] && rsync "$url/" >/dev/null
[ "$flaw" = liar ] && calls=0

if cmp -s "$state/$archive" "$root/$archive" && cmp -s "$state/$fedora" "$root/$fedora"; then
    [ "$flaw" = restless ] && touch "$root/fedora"
elif [ "$1" = --dry-run ]; then
    echo "would do something"
    [ "$flaw" = hasty ] && rm "$root/fedora/linux/releases/latest"
    exit 0
elif [ -e "$root/$archive" ] && [ $(($(wc -l <"$state/$archive") * 2)) -lt "$(wc -l <"$root/$archive")" ]; then
    held=1 code=7
    [ "$flaw" = reckless ] && rm -r "$root/archive/fedora/linux/releases"
    [ "$flaw" = careless ] && code=0
else
    exclude=--exclude=44_Beta
    [ "$flaw" = indiscreet ] && exclude=--no-motd
    rsync -aH --delete "$exclude" "$url/" "$root/"
    calls=$((calls + 1))
    if [ "$flaw" = corrupt ]; then
        iso=$root/fedora/linux/releases/43/Everything/x86_64/os/images/boot.iso
        touch -r "$iso" "$state/time"
        printf X | dd of="$iso" conv=notrunc 2>/dev/null
        touch -r "$state/time" "$iso"
    fi
fi
cat <<END
{"version": 1, "kind": "run", "status": "done", "rsync_calls": $calls, "received_bytes": 0, "modules": [
  {"module": "fedora-enchilada", "depth": "none", "fetched": {"entries": 0, "bytes": 0}, "linked": 0, "deleted": 0, "held": $held}]}
END
exit $code

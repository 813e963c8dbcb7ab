#!/bin/bash
# Usage: integration/demo/demo.sh DDUMBFS [SIZE]
#
# The main job on real input: two backups of a disk image, made of this machine's own files, go into a volume; then everything is
# compared byte for byte, checked, and the older backup is given up. Says what it does before each step and leaves nothing behind:
# no mount, no loop device, no file. Works in a new directory below TMPDIR (/tmp).
set -euo pipefail

program=$(realpath -- "${1:?usage: demo.sh DDUMBFS [SIZE]}")
size=${2:-400M}
sources=(/usr/lib /usr/bin /usr/share)
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin

fail() {
	echo "demo: $*" >&2
	exit 1
}

step=0
step() {
	step=$((step + 1))
	printf '\n%d. %s\n' $step "$*"
}

# Tables and speeds for humans. Times are in microseconds.
now() { echo "${EPOCHREALTIME/./}"; }
mib() { awk -v n="$1" 'BEGIN { printf "%.1f MiB", n / 1048576 }'; }
seconds() { awk -v t="$1" 'BEGIN { printf "%.2f s", t / 1e6 }'; }
speed() { awk -v n="$1" -v t="$2" 'BEGIN { printf "%.0f MiB/s", n / 1048576 / (t / 1e6) }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f : 1", a / b }'; }
row() { printf '   %-20s %14s %14s %10s %12s\n' "$@" | sed 's/ *$//'; }

check_machine() {
	[ "$(id -u)" = 0 ] || fail "wants root, for the mounts"
	[ -c /dev/fuse ] || fail "there is no /dev/fuse: this kernel, or this container, has no FUSE"
	local tool
	for tool in mkfs.ext4 losetup mount umount cmp dd tar find awk; do
		command -v $tool >/dev/null || fail "$tool is missing (make demo-engine installs what it needs)"
	done
	bytes=$(numfmt --from=iec "$size" 2>/dev/null) || fail "SIZE $size: want a number of bytes, with K, M or G"
	[ "$bytes" -ge $((32 << 20)) ] || fail "SIZE $size: want at least 32M"
	bytes=$((bytes >> 20 << 20))
	# Both images as originals, the volume with what they differ in, and its index.
	local need=$((bytes * 7 / 2 + (64 << 20))) have
	have=$(df --output=avail -B1 "${TMPDIR:-/tmp}" | tail -1)
	[ "$have" -ge $need ] ||
		fail "${TMPDIR:-/tmp} has $(mib "$have") free and $(mib $need) are needed for SIZE=$size: choose a smaller SIZE or another TMPDIR"
}

# unmount takes a mount away, whatever it takes.
unmount() {
	mountpoint -q "$1" || return 0
	case $1 in
	"$dir/mnt") "$program" umount --timeout 60s "$1" >/dev/null 2>&1 || umount -i -f -l "$1" ;;
	*) umount "$1" 2>/dev/null || umount -l "$1" ;;
	esac
}

clean_up() {
	local code=$?
	trap '' INT TERM HUP
	cd /
	if [ -n "${dir:-}" ]; then
		unmount "$dir/disk" || true
		unmount "$dir/mnt" || true
		if mountpoint -q "$dir/disk" || mountpoint -q "$dir/mnt"; then
			echo "demo: could not unmount everything below $dir" >&2
			exit 1
		fi
		rm -rf --one-file-system "$dir"
	fi
	exit $code
}

# used is how many bytes of blocks the volume has stored, without its two reserved ones.
used() {
	awk '$1 == "block_allocated" { n = $2 } $1 == "block_size" { b = $2 } END { printf "%.0f", (n - 2) * b }' "$dir/mnt/.ddumbfs/stats"
}

# disk_use is what the whole volume takes on the disk, index and all.
disk_use() { du -s -B1 "$dir/volume" | cut -f1; }

# fill copies files of the machine into a directory until a budget is reached.
fill() { # DIR BUDGET SKIP
	find "${sources[@]}" -xdev -type f -size -4M -printf '%s %p\0' 2>/dev/null |
		awk -v RS='\0' -v ORS='\0' -v budget="$2" -v skip="$3" '
			{ size = $1; sub(/^[0-9]+ /, ""); sum += size + 4096 }
			sum > skip && sum <= skip + budget { print }' >"$dir/list"
	tar -C / --ignore-failed-read --warning=none --null -T "$dir/list" -cf - 2>/dev/null | tar -C "$1" -xf -
}

make_image() { # IMAGE
	truncate -s $bytes "$1"
	mkfs.ext4 -q -F -b 4096 -i 8192 -L demo "$1" || fail "mkfs.ext4 did not make a file system"
	mount -o loop,noatime "$1" "$dir/disk" || fail "no loop mount: are there loop devices here?"
	fill "$dir/disk" $((bytes * 6 / 10)) 0
	files=$(find "$dir/disk" -type f | wc -l)
	umount "$dir/disk"
	[ "$files" -gt 0 ] || fail "no file of ${sources[*]} fits into SIZE=$size"
}

change_image() { # IMAGE
	mount -o loop,noatime "$1" "$dir/disk"
	find "$dir/disk/usr" -type f -size +4k -size -200k | sort | awk 'NR % 97 == 5' >"$dir/edit"
	find "$dir/disk/usr" -type f | sort | awk 'NR % 41 == 7' >"$dir/delete"
	while IFS= read -r f; do echo "edited $(date)" >>"$f"; done <"$dir/edit"
	while IFS= read -r f; do rm -f "$f"; done <"$dir/delete"
	mkdir "$dir/disk/new"
	# New content, which is nowhere in the first backup: files that come after those, packed.
	mkdir "$dir/fresh"
	fill "$dir/fresh" $((bytes * 6 / 100)) $((bytes * 7 / 10))
	tar -C "$dir/fresh" -czf "$dir/disk/new/added.tar.gz" .
	cp -a "$dir/fresh/usr" "$dir/disk/new/"
	rm -rf "$dir/fresh"
	umount "$dir/disk"
	echo "   edited $(wc -l <"$dir/edit") files, deleted $(wc -l <"$dir/delete"), added a tree and an archive of it"
}

backup() { # IMAGE NAME; sets time_NAME and new_NAME
	local before start
	before=$(used)
	start=$(now)
	dd if="$1" of="$dir/mnt/$2.img" bs=1M conv=fsync status=none
	declare -g "time_$2=$(($(now) - start))"
	declare -g "new_$2=$(($(used) - before))"
}

mount_volume() { "$program" mount "$dir/volume" "$dir/mnt"; }

compare() { # IMAGE NAME
	local start
	start=$(now)
	cmp "$1" "$dir/mnt/$2.img" || fail "$2.img differs from what was backed up"
	echo "   $2.img is equal to its original, byte for byte ($(speed $bytes $(($(now) - start))) read and compared)"
}

check_volume() {
	"$program" fsck -C "$dir/volume" >"$dir/check" || {
		cat "$dir/check"
		fail "the check found errors"
	}
	sed -n 's/^== \(Checked .* blocks\b.*\)/   \1/p; s/^\(Block errors\|Files lost blocks\|Filesystem status\).*/   &/p' "$dir/check"
}

check_machine
trap clean_up EXIT
set -E
trap 'echo "demo: step $step failed: $BASH_COMMAND" >&2' ERR
trap 'exit 130' INT
trap 'exit 143' TERM HUP
dir=$(mktemp -d "${TMPDIR:-/tmp}/ddumbfs-demo.XXXXXX")
mkdir "$dir/volume" "$dir/mnt" "$dir/disk"

step "Build a disk image of $(mib $bytes) with an ext4 file system and files of this machine (${sources[*]})"
make_image "$dir/monday.img"
echo "   $files files in $(mib "$(du -B1 "$dir/monday.img" | cut -f1)")"

step "Make a volume and mount it: ddumbfs mkfs, ddumbfs mount"
"$program" mkfs -s $((bytes * 4)) "$dir/volume" >"$dir/made"
tail -2 "$dir/made" | head -1 | sed "s#$dir/##; s/^/   /"
mount_volume

step "Store the image as backup 1"
backup "$dir/monday.img" monday
echo "   $(mib $bytes) in $(seconds $time_monday), on the disk (fsync)"

step "Change files inside the image: mount it, edit, delete, add, unmount"
cp --sparse=always "$dir/monday.img" "$dir/tuesday.img"
change_image "$dir/tuesday.img"

step "Store the changed image as backup 2"
backup "$dir/tuesday.img" tuesday
echo "   $(mib $bytes) in $(seconds $time_tuesday), on the disk (fsync)"
stored=$((new_monday + new_tuesday))
echo
row "" "logical size" "newly stored" "time" "speed"
row "backup 1 (monday)" "$(mib $bytes)" "$(mib $new_monday)" "$(seconds $time_monday)" "$(speed $bytes $time_monday)"
row "backup 2 (tuesday)" "$(mib $bytes)" "$(mib $new_tuesday)" "$(seconds $time_tuesday)" "$(speed $bytes $time_tuesday)"
row "both" "$(mib $((2 * bytes)))" "$(mib $stored)" "" ""
echo "   ratio $(ratio $((2 * bytes)) $stored)"

step "Unmount, so that everything is closed and clean"
"$program" umount "$dir/mnt" | sed "s#$dir/##g; s/^/   /"
echo "   the volume takes $(mib "$(disk_use)") on the disk, its index included"

step "Mount it again and compare both backups with their originals"
mount_volume
compare "$dir/monday.img" monday
compare "$dir/tuesday.img" tuesday

step "Unmount and check the volume, every block against its hash: ddumbfs fsck -C"
"$program" umount "$dir/mnt" >/dev/null
check_volume

step "Delete backup 1 and give back what backup 2 does not use: ddumbfs reclaim"
mount_volume
used_before=$(used)
disk_before=$(disk_use)
rm "$dir/mnt/monday.img"
"$program" reclaim "$dir/mnt" >"$dir/reclaimed"
sync -f "$dir/volume"
used_after=$(used)
disk_after=$(disk_use)
echo
row "" "stored blocks" "on the disk" "" ""
row "before" "$(mib "$used_before")" "$(mib "$disk_before")" "" ""
row "after" "$(mib "$used_after")" "$(mib "$disk_after")" "" ""
[ "$used_after" -lt "$used_before" ] || fail "the reclaim freed nothing"
compare "$dir/tuesday.img" tuesday
"$program" umount "$dir/mnt" >/dev/null
check_volume

step "Clean up"
echo "   removing $dir"

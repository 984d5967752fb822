# SPDX-License-Identifier: GPL-3.0-or-later
# What the lab's bats files share: one machine a file, sticks that are plugged in and pulled out, and the questions
# that every test asks of a stick afterwards. Sticks are files; nothing outside $LAB is touched.

bats_require_minimum_version 1.5.0

lab_root=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
export LAB=${LAB:-$lab_root/build/lab}
ISOMORPH=${ISOMORPH:-$lab_root/build/isomorph}
# Machines are named for the bats file and this run's folder, so that two runs do not meet.
VM=$(basename "$BATS_TEST_FILENAME" .bats)-$(basename "$BATS_RUN_TMPDIR")
MiB=1048576

# The seed of all test data: the same seed gives the same sticks.
SEED=${SEED:-1}

vm() {
	"$lab_root/tests/lab/vm" "$@"
}

# guest SHELL-TEXT: runs it in the file's machine.
guest() {
	vm run "$VM" "$1"
}

qmp() {
	vm qmp "$VM" "$@" >/dev/null
}

# noise BYTES [NAME]: that many bytes that do not compress, the same for the same SEED and NAME.
noise() {
	openssl enc -aes-128-ctr -pbkdf2 -pass "pass:$SEED${2:-}" -nosalt </dev/zero 2>/dev/null | head -c "$1"
}

# lab_start [QEMU OPTION]...: builds the guest around $ISOMORPH and boots it.
lab_start() {
	"$lab_root/tests/lab/guest" "$LAB" "$ISOMORPH" || return
	vm start "$VM" "$@"
}

# lab_end: for teardown_file, also after a failure.
lab_end() {
	vm kill "$VM"
	rm -rf "${LAB:?}/vm-$VM"
}

# share FILE [NAME]: the guest sees a copy as /job/NAME.
share() {
	cp -L "$1" "$LAB/vm-$VM/job/${2:-${1##*/}}"
}

# new_stick FILE BYTES: a stick's memory, full of old data.
new_stick() {
	noise "$2" old >"$1"
}

# json_file NODE FILE: a QEMU block node over the file.
json_file() {
	printf '{"driver":"raw","node-name":"%s","file":{"driver":"file","filename":"%s"}}' "$1" "$2"
}

# plug_node ID NODE [DEVICE PROPERTY=VALUE...]: plugs the block node in as a USB stick with serial number ID, waits
# until the guest has read its size, and sets $disk to its name there.
plug_node() {
	local id=$1 node=$2
	shift 2
	qmp device_add driver=usb-storage id="$id" bus=xhci.0 drive="$node" removable=true serial="\"$id\"" "$@"
	wait_disk "$id"
}

# wait_disk SERIAL: sets $disk to the SCSI disk whose USB serial number is SERIAL.
wait_disk() {
	disk=$(guest "
		for try in \$(seq 200); do
			for name in /sys/block/sd*; do
				path=\$(readlink -f \$name/device)
				until [ -z \"\$path\" ] || [ -f \$path/serial ]; do path=\${path%/*}; done
				[ -n \"\$path\" ] && [ \"\$(cat \$path/serial)\" = '$1' ] || continue
				[ -b /dev/\${name##*/} ] && blockdev --getsize64 /dev/\${name##*/} >/dev/null 2>&1 || continue
				echo /dev/\${name##*/}
				exit 0
			done
			usleep 20000
		done
		exit 1")
}

# plug ID FILE [DEVICE PROPERTY=VALUE...]: the file as a USB stick.
plug() {
	local id=$1 file=$2
	shift 2
	vm_blockdev "$(json_file "node-$id" "$file")"
	plug_node "$id" "node-$id" "$@"
}

# plug_slow ID FILE BYTES-PER-SECOND: a stick that can be caught in the middle; slow_down changes its speed.
plug_slow() {
	qmp object-add qom-type=throttle-group id="group-$1" limits="{\"bps-write\":$3,\"bps-write-max\":$3}"
	vm_blockdev "{\"driver\":\"throttle\",\"node-name\":\"node-$1\",\"throttle-group\":\"group-$1\",
		\"file\":{\"driver\":\"file\",\"filename\":\"$2\"}}"
	plug_node "$1" "node-$1"
}

slow_down() {
	qmp qom-set path="/objects/group-$1" property=limits value="{\"bps-write\":$2,\"bps-write-max\":$2}"
}

# vm_blockdev JSON: one blockdev-add, whose arguments are the members of the object.
vm_blockdev() {
	local arguments
	mapfile -t arguments < <(/usr/bin/python3 -c '
import json, sys
for key, value in json.loads(sys.argv[1]).items():
    print(f"{key}={json.dumps(value)}")' "$1")
	qmp blockdev-add "${arguments[@]}"
}

# unplug ID: pulls the stick, waits until the guest has lost it ($disk) and QEMU let go of the file.
unplug() {
	vm alive "$VM" || return 0
	qmp device_del id="$1" 2>/dev/null || true # it may have been pulled already
	guest "for i in \$(seq 100); do [ -e ${disk:-/none} ] || break; usleep 20000; done"
	for _ in $(seq 100); do
		[[ $(qmp blockdev-del node-name="node-$1" 2>&1) == *"in use"* ]] || break
		sleep 0.03
	done
	qmp object-del id="group-$1" 2>/dev/null || true
}

fingerprint() {
	sha256sum <"$1" | cut -d' ' -f1
}

# same_prefix IMAGE STICK: the stick begins with exactly the image's bytes.
same_prefix() {
	cmp -n "$(stat -Lc %s "$1")" "$1" "$2"
}

# is_wiped STICK: nothing could boot from it: its first MiB is zero.
is_wiped() {
	cmp -n $MiB /dev/zero "$1"
}

# wait_written STICK OFFSET OLD-FINGERPRINT-FILE: until the write has reached the offset.
wait_written() {
	local end=$((SECONDS + 60))
	while cmp -s -i "$2" -n 4096 "$1" "$3"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

#!/bin/sh
# Write the fingerprint of this machine, which a provider needs for an offline licence. docs/fingerprint.md tells its
# form. Needs a POSIX shell with awk and sed; acsmpd on the same machine signs it. Root reads more: serial numbers.
set -u
LC_ALL=C
export LC_ALL
unset -v ENV BASH_ENV CDPATH

usage() {
  cat <<'END'
usage: collect-fingerprint.sh [options] [FILE]

  FILE              where it is written; must not be there yet (default: fingerprint-HOST-TIME.json in this folder)
  --unsigned        do not sign it; "acsmpd license sign FILE" on the same machine does that later
  --acsmpd COMMAND  the acsmpd that signs (default: acsmpd in PATH, else /opt/acsmpd/bin/acsmpd)
  --config CONFIG   its settings file
  --root FOLDER     look for /sys, /proc, /etc and /usr/bin/nvidia-smi below FOLDER (for tests)

What cannot be read is null, and listed in Missing with the reason. Exit code: 0 written, 1 failed, 2 wrong usage.
END
}

wrong() {
  printf 'collect-fingerprint.sh: %s\n' "$1" >&2
  usage >&2
  exit 2
}

failed() {
  printf 'failed: %s\n' "$1" >&2
  exit 1
}

file='' unsigned='' command='' config='' root=''
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --unsigned) unsigned=1; shift ;;
    --acsmpd | --config | --root)
      [ $# -gt 1 ] || wrong "$1 needs a value"
      case $1 in --acsmpd) command=$2 ;; --config) config=$2 ;; --root) root=${2%/} ;; esac
      shift 2
      ;;
    -*) wrong "unknown option $1" ;;
    *) [ -z "$file" ] || wrong "name one file"; file=$1; shift ;;
  esac
done
[ -z "$root" ] || [ -d "$root" ] || wrong "--root: $root is no folder"
if [ -z "$unsigned" ]; then
  [ -n "$command" ] || command=$(command -v acsmpd) || command=/opt/acsmpd/bin/acsmpd
  command -v -- "$command" > /dev/null || failed "no acsmpd to sign with: name it by --acsmpd, or use --unsigned"
fi
top=$(readlink -f -- "${root:-/}") || failed "$root: cannot be read"
top=${top%/}

umask 077
work=$(mktemp -d) || failed "cannot make a temporary folder"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
: > "$work/missing"

# text: standard input as a JSON string, without blanks around it; null when nothing is left. What is no UTF-8 becomes
# U+FFFD.
cat > "$work/text.awk" <<'END'
function follows(at, count, low, high,    number, place) {
  for (place = 1; place <= count; place++) {
    number = code[substr(text, at + place, 1)] + 0
    if (number < low || number > high) return 0
    low = 128
    high = 191
  }
  return 1
}
function more(at, first) {
  if (first >= 194 && first <= 223) return follows(at, 1, 128, 191) ? 1 : 0
  if (first == 224) return follows(at, 2, 160, 191) ? 2 : 0
  if (first == 237) return follows(at, 2, 128, 159) ? 2 : 0
  if (first >= 225 && first <= 239) return follows(at, 2, 128, 191) ? 2 : 0
  if (first == 240) return follows(at, 3, 144, 191) ? 3 : 0
  if (first >= 241 && first <= 243) return follows(at, 3, 128, 191) ? 3 : 0
  if (first == 244) return follows(at, 3, 128, 143) ? 3 : 0
  return 0
}
BEGIN { for (one = 1; one < 256; one++) code[sprintf("%c", one)] = one }
{ text = text (NR > 1 ? "\n" : "") $0 }
END {
  sub(/^[ \t\r\n]+/, "", text)
  sub(/[ \t\r\n]+$/, "", text)
  size = length(text)
  for (at = 1; at <= size; at++) {
    sign = substr(text, at, 1)
    first = code[sign] + 0
    if (sign == "\"" || sign == "\\") out = out "\\" sign
    else if (first < 32 || first == 127) out = out sprintf("\\u%04x", first)
    else if (first < 128) out = out sign
    else if ((count = more(at, first)) > 0) {
      out = out substr(text, at, count + 1)
      at += count
    } else out = out "\\ufffd"
  }
  printf "%s", (size ? "\"" out "\"" : "null")
}
END
text() {
  head -c 4096 | tr -d '\000' | awk -f "$work/text.awk"
}

said() {
  printf '%s' "$1" | text
}

# missing FIELD REASON
missing() {
  printf '  {"Field": %s, "Reason": %s}\n' "$(said "$1")" "$(said "$2")" >> "$work/missing"
}

# first FILE...: what the first of these that says something says, as JSON; null, and the reason in $work/reason.
first() {
  reason='is not there'
  for path in "$@"; do
    if [ -f "$path" ]; then
      if found=$({ head -c 4096 < "$path" | tr -d '\000'; } 2> /dev/null) && [ -r "$path" ]; then
        found=$(said "$found")
        if [ "$found" != null ]; then
          printf '%s' "$found"
          return
        fi
        [ "$reason" != 'is not there' ] || reason='is empty'
      else
        reason='cannot be read by this user'
      fi
    fi
  done
  printf '%s' "$reason" > "$work/reason"
  printf null
}

# member FIELD FILE...: as first; a null is told in Missing.
member() {
  field=$1
  shift
  found=$(first "$@")
  [ "$found" != null ] || missing "$field" "$(cat "$work/reason")"
  printf '%s' "$found"
}

# of_cpu NAME: what /proc/cpuinfo says of the first processor
of_cpu() {
  awk -F: -v name="$1" '{ key = $1; sub(/[ \t]+$/, "", key) }
    tolower(key) == tolower(name) { sub(/^[^:]*:[ \t]*/, ""); print; exit }' "$root/proc/cpuinfo" 2> /dev/null
}

# list: lines of standard input as the items of an array
list() {
  awk '{ printf "%s%s", (NR > 1 ? ",\n" : "[\n"), $0 } END { printf "%s", (NR ? "\n]" : "[]") }'
}

dmi=$root/sys/class/dmi/id
tree=$root/proc/device-tree
[ -d "$tree" ] || tree=$root/sys/firmware/devicetree/base

board() {
  printf '{"Vendor": %s, ' "$(member Board.Vendor "$dmi/sys_vendor")"
  printf '"Product": %s, ' "$(member Board.Product "$dmi/product_name" "$tree/model")"
  printf '"Serial": %s, ' "$(member Board.Serial "$dmi/product_serial" "$tree/serial-number")"
  printf '"UUID": %s, ' "$(member Board.UUID "$dmi/product_uuid")"
  printf '"BoardVendor": %s, ' "$(member Board.BoardVendor "$dmi/board_vendor")"
  printf '"BoardName": %s, ' "$(member Board.BoardName "$dmi/board_name")"
  printf '"BoardSerial": %s}' "$(member Board.BoardSerial "$dmi/board_serial")"
}

cpu() {
  model=''
  for name in 'model name' 'cpu model' Hardware; do
    [ -n "$model" ] || model=$(of_cpu "$name")
  done
  part=$(of_cpu 'CPU part')
  [ -n "$model" ] || [ -z "$part" ] || model="implementer $(of_cpu 'CPU implementer') part $part"
  serial=$(of_cpu Serial)
  count=$(grep -c '^processor' "$root/proc/cpuinfo" 2> /dev/null) || count=null
  [ -n "$model" ] || missing CPU.Model 'is not there'
  [ -n "$serial" ] || missing CPU.Serial 'is not there'
  [ "$count" != null ] || missing CPU.Count 'is not there'
  printf '{"Architecture": %s, "Model": %s, ' "$(uname -m | text)" "$(said "$model")"
  printf '"Count": %s, "Serial": %s}' "$count" "$(said "$serial")"
}

memory() {
  size=$(sed -n 's/^MemTotal:[^0-9]*\([0-9][0-9]*\) kB.*/\1/p' "$root/proc/meminfo" 2> /dev/null)
  [ -n "$size" ] || missing MemoryKiB 'is not there'
  printf '%s' "${size:-null}"
}

# Disks that are built in: nothing virtual, nothing that is plugged in, such as the stick this lies on.
disks() {
  for disk in "$root"/sys/block/*; do
    name=${disk##*/}
    [ -e "$disk/device" ] || continue
    case $name in sr* | fd* | *boot[0-9] | *rpmb) continue ;; esac
    real=$(readlink -f -- "$disk") || continue
    case ${real#"$top"} in */usb[0-9]*) continue ;; esac
    [ "$(cat "$disk/removable" 2> /dev/null)" != 1 ] || continue
    serial=$(first "$disk/serial" "$disk/device/serial")
    wwid=$(first "$disk/wwid" "$disk/device/wwid" "$disk/device/cid")
    [ "$serial$wwid" != nullnull ] || missing "Disks.$name" "$(cat "$work/reason")"
    printf '  {"Name": %s, "Model": %s, ' "$(said "$name")" "$(first "$disk/device/model" "$disk/device/name")"
    printf '"Serial": %s, "WWID": %s}\n' "$serial" "$wwid"
  done
}

# card BUS NAME UUID SERIAL, as NVIDIA's driver tells them
card() {
  case $4 in '' | '['* | N/A) serial=null ;; *) serial=$(said "$4") ;; esac
  printf '  {"Bus": %s, "Name": %s, "UUID": %s, ' "$(said "$1")" "$(said "$2")" "$(said "$3")"
  printf '"Serial": %s}\n' "$serial"
}

# A driver whose card has failed may never answer.
in_time() {
  if command -v timeout > /dev/null; then timeout 30 "$@"; else "$@"; fi
}

cards() {
  tool=$root/usr/bin/nvidia-smi
  [ -n "$root" ] || tool=$(command -v nvidia-smi)
  if [ -x "$tool" ]; then
    if in_time "$tool" --query-gpu=pci.bus_id,name,uuid,serial --format=csv,noheader \
      > "$work/cards" 2> "$work/error" < /dev/null; then
      while IFS=, read -r bus name uuid serial; do
        [ -z "$uuid" ] || card "$bus" "$name" "$uuid" "${serial# }"
      done < "$work/cards"
      return
    fi
    missing Cards "nvidia-smi failed: $(cat "$work/cards" "$work/error" | head -n 1)"
  fi
  for gpu in "$root"/proc/driver/nvidia/gpus/*; do
    [ -r "$gpu/information" ] || continue
    name=$(sed -n 's/^Model:[ 	]*//p' "$gpu/information")
    uuid=$(sed -n 's/^GPU UUID:[ 	]*//p' "$gpu/information")
    card "${gpu##*/}" "$name" "$uuid" ''
  done
}

# Display controllers, processing accelerators and co-processors on the PCI bus, of whichever vendor
pci() {
  for device in "$root"/sys/bus/pci/devices/*; do
    class=$(cat "$device/class" 2> /dev/null)
    case $class in
      0x03???? | 0x12???? | 0x0b4???)
        printf '  {"Bus": %s, "Class": %s, ' "$(said "${device##*/}")" "$(said "$class")"
        printf '"Vendor": %s, "Device": %s, ' "$(first "$device/vendor")" "$(first "$device/device")"
        printf '"SubsystemVendor": %s, ' "$(first "$device/subsystem_vendor")"
        printf '"SubsystemDevice": %s}\n' "$(first "$device/subsystem_device")"
        ;;
    esac
  done
}

# Ethernet interfaces with hardware of their own. In a bond all members show one address: their own is kept beside it.
interfaces() {
  for port in "$root"/sys/class/net/*; do
    [ -e "$port/device" ] && [ "$(cat "$port/type" 2> /dev/null)" = 1 ] || continue
    name=${port##*/} permanent=false
    address=$(cat "$port/bonding_slave/perm_hwaddr" 2> /dev/null)
    if [ -n "$address" ]; then
      permanent=true
    else
      address=$(cat "$port/address" 2> /dev/null)
      [ "$(cat "$port/addr_assign_type" 2> /dev/null)" != 0 ] || permanent=true
    fi
    case $address in
      '' | 00:00:00:00:00:00) missing "Interfaces.$name" 'has no address' ;;
      *) printf '  {"Name": %s, "MAC": %s, "Permanent": %s}\n' "$(said "$name")" "$(said "$address")" $permanent ;;
    esac
  done
}

now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
host=$(head -c 256 "$root/proc/sys/kernel/hostname" 2> /dev/null)
[ -n "$host$root" ] || host=$(uname -n)
{
  printf '{\n"Format": "acsmpd-fingerprint",\n"Version": 1,\n'
  printf '"Time": "%s",\n' "$now"
  [ -n "$host" ] || missing Hostname 'is not there'
  printf '"Hostname": %s,\n' "$(said "$host")"
  printf '"MachineID": %s,\n' "$(member MachineID "$root/etc/machine-id" "$root/var/lib/dbus/machine-id")"
  printf '"Board": %s,\n' "$(board)"
  printf '"CPU": %s,\n' "$(cpu)"
  printf '"MemoryKiB": %s,\n' "$(memory)"
  printf '"Disks": %s,\n' "$(disks | list)"
  printf '"Cards": %s,\n' "$(cards | list)"
  printf '"PCI": %s,\n' "$(pci | list)"
  printf '"Interfaces": %s,\n' "$(interfaces | list)"
  printf '"Missing": %s\n}\n' "$(list < "$work/missing")"
} > "$work/fingerprint.json" || failed "cannot write to the temporary folder $work"

if [ -z "$unsigned" ]; then
  set -- license sign
  [ -z "$config" ] || set -- "$@" --config "$config"
  words=$("$command" "$@" "$work/fingerprint.json" 2>&1) || failed "$words"
fi
if [ -z "$file" ]; then
  name=$(printf '%s' "${host:-unknown}" | tr -c 'A-Za-z0-9._-' '_')
  file=fingerprint-$name-$(printf '%s' "$now" | tr -d ':-').json
fi
case $file in /*) ;; *) file=./$file ;; esac
(set -C && cat "$work/fingerprint.json" > "$file") 2> /dev/null || failed "$file: is there already, or cannot be written"
printf 'written: %s' "$file"
[ -z "$unsigned" ] || printf ', not signed'
count=$(wc -l < "$work/missing")
printf ', %d not found (see Missing)\n' "$((count))"

#!/bin/sh
# Import one licence file into an acsmpd. Needs curl and a POSIX shell, nothing else.
set -u

usage() {
  cat <<'END'
usage: import-license.sh [options] FILE

  --url URL            where acsmpd listens (default: $ACSMPD_URL, else http://127.0.0.1:8750)
  --key-file KEYFILE   file with an API key of an operator (default: $ACSMPD_KEY_FILE; or the key in $ACSMPD_KEY)
  --provider NAME      who issued the licence (required)
  --device CODE        the computility it is bound to, 20 digits; without it, it is shared
  --ability CODE=N     N streams for this capability; may be repeated; without any, nothing is declared
  --expire TIME        "YYYY-MM-DD hh:mm:ss", when it ends
  --ca FILE            certificates to trust, for an https URL
  --dry-run            look at everything here, send nothing

A file that is there already is not imported twice. Exit code: 0 imported or there already, 1 failed, 2 wrong usage.
END
}

wrong() {
  printf 'import-license.sh: %s\n' "$1" >&2
  usage >&2
  exit 2
}

failed() {
  printf 'failed: %s\n' "$1" >&2
  exit 1
}

url=${ACSMPD_URL:-http://127.0.0.1:8750} key_file=${ACSMPD_KEY_FILE:-} ca='' dry=''
provider='' device='' expire='' abilities='' file=''

add_ability() {
  code=${1%=*} number=${1##*=}
  case $1 in *=*) ;; *) failed "ability $1: has to be CODE=NUMBER" ;; esac
  case $code in '' | *[\"\\]* | *[[:cntrl:]]*) failed "ability $1: this is no capability code" ;; esac
  case $number in
    '' | *[!0-9]* | ??????????*) failed "ability $1: the quota has to be a number of streams from 0" ;;
  esac
  while :; do case $number in 0?*) number=${number#0} ;; *) break ;; esac; done
  abilities="${abilities:+$abilities,}{\"AlgoDefCode\":\"$code\",\"Quota\":$number}"
}

while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --dry-run) dry=1; shift; continue ;;
    --url | --key-file | --provider | --device | --ability | --expire | --ca)
      [ $# -gt 1 ] || wrong "$1 needs a value"
      case $1 in
        --url) url=$2 ;;
        --key-file) key_file=$2 ;;
        --provider) provider=$2 ;;
        --device) device=$2 ;;
        --ability) add_ability "$2" ;;
        --expire) expire=$2 ;;
        --ca) ca=$2 ;;
      esac
      shift 2
      continue
      ;;
    --) shift; [ $# -eq 1 ] || wrong "name one file"; file=$1; shift ;;
    -*) wrong "unknown option $1" ;;
    *) [ -z "$file" ] || wrong "name one file"; file=$1; shift ;;
  esac
done

[ -n "$file" ] || wrong "name a file"
case $url in http://?* | https://?*) url=${url%/} ;; *) wrong "--url has to begin with http:// or https://" ;; esac

[ -n "$provider" ] || failed "provider: is required"
[ -f "$file" ] || failed "$file: is no file"
[ -r "$file" ] || failed "$file: cannot be read"
size=$(wc -c < "$file") && size=$((size)) || failed "$file: cannot be read"
[ "$size" -gt 0 ] || failed "$file: is empty"
[ "$size" -le 2097152 ] || failed "$file: has more than 2097152 bytes"
if [ -n "$device" ]; then
  case $device in *[!0-9]*) failed "device $device: has to be 20 digits" ;; esac
  [ ${#device} -eq 20 ] || failed "device $device: has to be 20 digits"
fi
if [ -n "$dry" ]; then
  printf 'would be imported: %s\n' "$file"
  exit 0
fi

work=$(mktemp -d) || failed "cannot make a temporary folder"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
umask 077
if [ -n "$key_file" ]; then
  [ -r "$key_file" ] || failed "key file $key_file: cannot be read"
  IFS= read -r key < "$key_file" || [ -n "$key" ] || failed "key file $key_file: is empty"
else
  key=${ACSMPD_KEY:-}
fi
key=$(printf '%s' "$key" | tr -d '\r')
[ -n "$key" ] || failed "no API key: name a file by --key-file, or put the key into ACSMPD_KEY"
# The key goes through a file: words of a command line are seen by everybody on the machine.
printf 'Authorization: Bearer %s\n' "$key" > "$work/header"

set -- --form-string "Provider=$provider"
[ -z "$device" ] || set -- "$@" --form-string "DeviceID=$device"
[ -z "$expire" ] || set -- "$@" --form-string "ExpireTime=$expire"
[ -z "$abilities" ] || set -- "$@" --form-string "AbilityAuths=[$abilities]"
[ -z "$ca" ] || set -- "$@" --cacert "$ca"
# The file comes through standard input: its name may hold what curl takes for its own signs.
if ! curl -q --silent --show-error --noproxy '*' --proto '=http,https' --connect-timeout 10 --max-time 120 \
  --max-filesize 1048576 -H "@$work/header" "$@" -F 'File=@-;filename=licence' -o "$work/answer" \
  "$url/ACSMP/License" < "$file" 2> "$work/error"; then
  failed "$file: $(tr -d '\000-\010\012-\037' < "$work/error")"
fi

answer=$(tr -d '\000-\037' < "$work/answer")
said=${answer#*\"Message\":\"}
[ "$said" != "$answer" ] && said=${said%%\"*} || said=''
case $answer in
  *'"Code":0,'* | *'"Code":0}'*)
    data=${answer#*\"Data\":}
    data=${data%%[!0-9]*}
    warning=${said#success}
    case $said in *'it was there already'*) state='there already' ;; *) state=imported ;; esac
    printf '%s: %s as licence %s%s\n' "$state" "$file" "$data" "$warning"
    ;;
  *'"Code":'*) failed "$file: ${said:-refused}" ;;
  *) failed "$file: what answers at $url is no acsmpd" ;;
esac

#!/bin/sh
# Import the licence files of a folder into an acsmpd, as its manifest.csv says. Needs curl and a POSIX shell.
set -u

usage() {
  cat <<'END'
usage: import-licenses.sh [options] FOLDER

FOLDER/manifest.csv has one line a licence: file,provider,device,CODE=N,CODE=N,...
  file      its name below FOLDER
  provider  who issued it
  device    the computility it is bound to, 20 digits; empty: shared
  CODE=N    N streams for this capability; none: nothing is declared
A first line that begins with "file" and lines that begin with # are left out. UTF-8; a value with a comma stands in
double quotes.

  --url URL, --key-file KEYFILE, --ca FILE, --dry-run    as of import-license.sh

What is there already is not imported twice: it can be run again. Exit code: 0 all imported or there already,
1 some failed, 2 wrong usage.
END
}

wrong() {
  printf 'import-licenses.sh: %s\n' "$1" >&2
  usage >&2
  exit 2
}

one=$(dirname -- "$0")/import-license.sh
[ -r "$one" ] || wrong "import-license.sh has to lie beside this script"
folder='' url='' key_file='' ca='' dry=''
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --dry-run) dry=--dry-run; shift ;;
    --url | --key-file | --ca)
      [ $# -gt 1 ] || wrong "$1 needs a value"
      case $1 in --url) url=$2 ;; --key-file) key_file=$2 ;; --ca) ca=$2 ;; esac
      shift 2
      ;;
    -*) wrong "unknown option $1" ;;
    *) [ -z "$folder" ] || wrong "name one folder"; folder=$1; shift ;;
  esac
done
[ -n "$folder" ] || wrong "name a folder"
case $folder in /*) ;; *) folder=./$folder ;; esac
root=$(readlink -f -- "$folder") && [ -d "$root" ] || wrong "$folder: is no folder"
[ -r "$root/manifest.csv" ] || wrong "$folder/manifest.csv: cannot be read"
[ -z "$url" ] || ACSMPD_URL=$url
[ -z "$key_file" ] || ACSMPD_KEY_FILE=$key_file
export ACSMPD_URL="${ACSMPD_URL:-http://127.0.0.1:8750}" ACSMPD_KEY_FILE="${ACSMPD_KEY_FILE:-}"

# next_field: takes the first field of $rest into $field; $more is empty after the last one.
next_field() {
  field='' more='' rest=${rest#"${rest%%[! 	]*}"}
  case $rest in
    \"*)
      rest=${rest#\"}
      while :; do
        case $rest in
          *\"*) field=$field${rest%%\"*} rest=${rest#*\"} ;;
          *) return 1 ;;
        esac
        case $rest in
          \"*) field=$field\" rest=${rest#\"} ;;
          *) break ;;
        esac
      done
      rest=${rest#"${rest%%[! 	]*}"}
      case $rest in '' | ,*) ;; *) return 1 ;; esac
      ;;
    *) field=${rest%%,*} rest=${rest#"$field"} ;;
  esac
  case $rest in ,*) rest=${rest#,} more=1 ;; esac
  field=${field#"${field%%[! 	]*}"}
  field=${field%"${field##*[! 	]}"}
}

# import_line: one licence; leaves what came of it in $state and $words.
import_line() {
  state=failed words='the line is no CSV'
  next_field || return
  file=$field
  provider='' device=''
  if [ -n "$more" ]; then next_field || return; provider=$field; fi
  if [ -n "$more" ]; then next_field || return; device=$field; fi
  set --
  while [ -n "$more" ]; do
    next_field || return
    [ -z "$field" ] || set -- "$@" --ability "$field"
  done
  case $file in
    '') words='no file is named'; return ;;
    /* | .. | ../* | */.. | */../*) words='the file has to lie in the folder'; return ;;
  esac
  path=$(readlink -f -- "$root/$file") || { words="$file: is no file"; return; }
  case $path in "${root%/}"/*) ;; *) words='the file has to lie in the folder'; return ;; esac
  [ -z "$dry" ] || set -- "$@" "$dry"
  [ -z "$ca" ] || set -- "$@" --ca "$ca"
  if words=$(sh "$one" --provider "$provider" --device "$device" "$@" -- "$path" < /dev/null 2>&1); then
    state=${words%%: *}
    words=${words#*: }
    words=${words#"$path"}
    words=${words# as }
  else
    [ $? -eq 1 ] || { printf '%s\n' "$words" >&2; exit 2; }
    words=${words#failed: }
    words=${words#"$path": }
  fi
}

imported=0 known=0 failed=0 would=0 number=0
bom=$(printf '\357\273\277')
cr=$(printf '\r')
while IFS= read -r line || [ -n "$line" ]; do
  number=$((number + 1))
  [ $number -ne 1 ] || line=${line#"$bom"}
  line=${line%"$cr"}
  case $line in '' | '#'*) continue ;; esac
  case $number,$line in 1,[Ff][Ii][Ll][Ee],*) continue ;; esac
  rest=$line more=1 file=''
  import_line
  case $state in
    imported) imported=$((imported + 1)) ;;
    'there already') known=$((known + 1)) ;;
    'would be imported') would=$((would + 1)) ;;
    *) state=failed failed=$((failed + 1)) ;;
  esac
  # what stands on a stick may hold signs that do something to a terminal
  printf '%-18s %4d  %s  %s\n' "$state" "$number" "${file:-$line}" "$words" |
    LC_ALL=C tr '\001-\010\013-\037\177' '?'
done < "$root/manifest.csv"

printf '\n%d imported, %d there already, %d failed' $imported $known $failed
[ -z "$dry" ] || printf ', %d would be imported' $would
printf '\n'
[ $failed -eq 0 ]

# deploy/env.example -> the same on standard output, a random password behind every name that needs one.
#
#   sh deploy/new-env.sh > .env
set -eu

secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

while IFS= read -r line; do
  case $line in
    *_PASSWORD=) printf '%s%s\n' "$line" "$(secret)" ;;
    *) printf '%s\n' "$line" ;;
  esac
done <"$(dirname "$0")/env.example"

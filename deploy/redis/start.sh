# A configuration and REDIS_PASSWORD -> a Redis server that asks for it.
#
# The password goes into a file in memory: on the command line every user of the host could read it.
set -eu
umask 077
cp "$1" /tmp/redis.conf
printf 'requirepass %s\n' "${REDIS_PASSWORD:?}" >>/tmp/redis.conf
exec redis-server /tmp/redis.conf

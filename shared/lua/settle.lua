-- Ends a delivery: publishes its outcome and acknowledges it, both or neither.
--
-- KEYS[1] stream   ARGV[1] msgpack {group, entry, partition, owed, release}
-- ARGV[2...] the outcomes, four arguments each: stream, type, body, traceparent
-- owed: the group owes this clip an outcome, and only the first worker to settle it is heard.
-- release: entry of the clip whose frames this reader no longer needs.
-- -> {1 | 0 when somebody else was first, freed frame keys ...}

local job = cmsgpack.unpack(ARGV[1])
local acknowledged = redis.call('XACK', KEYS[1], job.group, job.entry)
local first = acknowledged == 1
if job.owed then
  first = redis.call('ZREM', key('open.' .. job.group, job.partition), job.entry) == 1
end
redis.call('HDEL', key('faults', job.partition), job.group .. '/' .. job.entry)
if not first then return {0} end

for i = 2, #ARGV, 4 do
  redis.call('XADD', ARGV[i], '*',
    'type', ARGV[i + 1], 'body', ARGV[i + 2], 'traceparent', ARGV[i + 3])
end
local freed = {}
if job.release then release_clip(job.partition, job.release, freed) end
-- A stream of clips has several groups: its entries go when the last holder lets go.
if not job.owed then redis.call('XDEL', KEYS[1], job.entry) end
return {1, unpack(freed)}

-- Ends a delivery: publishes its outcome and acknowledges it, both or neither.
--
-- KEYS[1] stream   ARGV[1] msgpack {group, entry, partition, owed, release}
-- ARGV[2...] the outcomes, five arguments each: stream, its fuse (0: none), type, body, traceparent
-- owed: the group owes this clip an outcome, and only the first worker to settle it is heard.
-- release: entries of the clips whose frames this reader no longer needs.
-- -> {1 | 0 when somebody else was first, freed frame keys ...}

local job = cmsgpack.unpack(ARGV[1])
local acknowledged = redis.call('XACK', KEYS[1], job.group, job.entry)
local first = acknowledged == 1
if job.owed then
  first = redis.call('ZREM', key('open.' .. job.group, job.partition), job.entry) == 1
end
redis.call('HDEL', key('faults', job.partition), job.group .. '/' .. job.entry)
if not first then return {0} end

for i = 2, #ARGV, 5 do
  local stream, fuse, kind, body, traceparent = unpack(ARGV, i, i + 4)
  redis.call('XADD', stream, '*', 'type', kind, 'body', body, 'traceparent', traceparent)
  if fuse ~= '0' then redis.call('XTRIM', stream, 'MAXLEN', '~', fuse) end
end
local freed = {}
for _, entry in ipairs(job.release) do release_clip(job.partition, entry, freed) end
-- A stream of clips has several groups: its entries go when the last holder lets go.
if not job.owed then redis.call('XDEL', KEYS[1], job.entry) end
return {1, unpack(freed)}

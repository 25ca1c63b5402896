-- Removes clips that are older than any frame's bytes and that no group owes an outcome any more:
-- what a reader held when it died after its effect and before its release.
--
-- ARGV[1] msgpack {partition, groups, older_than_ms, limit}   -> freed frame keys

local job = cmsgpack.unpack(ARGV[1])
local clips = key('clips.v1', job.partition)
local time = redis.call('TIME')
local until_ms = time[1] * 1000 + math.floor(time[2] / 1000) - job.older_than_ms
local freed = {}
for _, found in ipairs(redis.call('XRANGE', clips, '-', string.format('%.0f', until_ms),
    'COUNT', job.limit)) do
  local entry = found[1]
  local owed = false
  for _, group in ipairs(job.groups) do
    if redis.call('ZSCORE', key('open.' .. group, job.partition), entry) then owed = true end
  end
  if not owed then
    redis.call('HSET', key('holders', job.partition), entry, 1)
    release_clip(job.partition, entry, freed)
  end
end
return freed

-- Publishes a clip again, for the one group whose handler failed on it.
--
-- ARGV[1] msgpack {partition, clip, group, traceparent}   -> the new entry

local job = cmsgpack.unpack(ARGV[1])
local time = redis.call('TIME')
return publish_clip(job.partition, job.clip, {job.group}, job.traceparent,
  time[1] * 1000 + math.floor(time[2] / 1000))

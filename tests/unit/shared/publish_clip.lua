-- ARGV[1] msgpack {partition, clip, groups}   -> the clip's entry
local job = cmsgpack.unpack(ARGV[1])
return publish_clip(job.partition, job.clip, job.groups, '', 0)

-- One reader no longer needs the frames of some clips.
--
-- ARGV[1] msgpack {partition, entries}   -> freed frame keys

local job = cmsgpack.unpack(ARGV[1])
local freed = {}
for _, entry in ipairs(job.entries) do release_clip(job.partition, entry, freed) end
return freed

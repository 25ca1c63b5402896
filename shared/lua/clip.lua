-- The life of a clip's frames in Redis. Prepended to every script that publishes or ends a clip.
--
-- A frame's bytes live as long as somebody needs them: the camera's ring, and every clip that
-- shows it. `refs` counts those, `holders` counts the readers that a clip still waits for.
-- Keys are built from the partition: all carry its hash tag, so they lie in one cluster slot.

local function key(noun, partition, camera)
  local name = noun .. ':{' .. partition .. '}'
  if camera then name = name .. ':' .. camera end
  return name
end

local function size_of(frame_key)
  return tonumber(string.match(frame_key, '%.(%d+):{')) or 0
end

local function hold_frame(partition, camera, frame_key)
  if redis.call('HINCRBY', key('refs', partition, camera), frame_key, 1) == 1 then
    redis.call('INCRBY', key('bytes', partition), size_of(frame_key))
  end
end

-- Adds the frame to `freed` when nobody needs it any more; the caller unlinks those.
local function drop_frame(partition, camera, frame_key, freed)
  local refs = key('refs', partition, camera)
  if redis.call('HINCRBY', refs, frame_key, -1) > 0 then return end
  redis.call('HDEL', refs, frame_key)
  redis.call('DECRBY', key('bytes', partition), size_of(frame_key))
  freed[#freed + 1] = frame_key
end

local function publish_clip(partition, clip, groups, traceparent, now_ms)
  local entry = redis.call('XADD', key('clips.v1', partition), '*',
    'type', 'ClipReady', 'body', cmsgpack.pack(clip), 'traceparent', traceparent)
  for _, group in ipairs(groups) do
    redis.call('ZADD', key('open.' .. group, partition), now_ms, entry)
  end
  redis.call('HSET', key('holders', partition), entry, #groups)
  for _, frame in ipairs(clip.frames) do
    hold_frame(partition, clip.camera_id, frame.key)
  end
  return entry
end

local function clip_at(partition, entry)
  local found = redis.call('XRANGE', key('clips.v1', partition), entry, entry)
  if #found == 0 then return nil end
  local fields = found[1][2]
  for i = 1, #fields, 2 do
    if fields[i] == 'body' then return cmsgpack.unpack(fields[i + 1]) end
  end
end

-- One reader is through with a clip. The last one removes it and frees what only it needed.
local function release_clip(partition, entry, freed)
  local holders = key('holders', partition)
  local left = redis.call('HINCRBY', holders, entry, -1)
  if left > 0 then return end
  redis.call('HDEL', holders, entry)
  if left < 0 then return end
  local clip = clip_at(partition, entry)
  if not clip then return end
  for _, frame in ipairs(clip.frames) do
    drop_frame(partition, clip.camera_id, frame.key, freed)
  end
  redis.call('XDEL', key('clips.v1', partition), entry)
end

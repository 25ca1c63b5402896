-- The window of one camera: what it keeps, when it is due, how it becomes a clip.
--
-- job    what the gateway sent: camera_id, partition, policy, masks, unwatched, groups, now_us (tests only)
-- state  the camera's window, read once, written once at the end
-- ring   analysed frames by time slot: up to T-1 of context, then those that no clip owns yet

local job = cmsgpack.unpack(ARGV[1])
local policy, camera, partition = job.policy, job.camera_id, job.partition
local traceparent = ARGV[2] or ''

local WINDOW, RING = key('window', partition, camera), key('ring', partition, camera)
local SEEN, SEEN_ORDER = key('seen', partition, camera), key('seen.order', partition, camera)
local ACCOUNT, DUE = key('account', partition, camera), key('due', partition)

local time = redis.call('TIME')
local now_us = job.now_us or (time[1] * 1000000 + time[2])
local now_ms = math.floor(now_us / 1000)

local freed = {}
local published = 0

local function read_state()
  local flat = redis.call('HGETALL', WINDOW)
  local state = {}
  for i = 1, #flat, 2 do state[flat[i]] = tonumber(flat[i + 1]) end
  if not state.born then
    state.born = math.floor(now_us / 1000000)
    state.epoch, state.seq = state.born, 0
  end
  return state
end

local function write_state(state)
  local flat = {}
  for name, value in pairs(state) do
    flat[#flat + 1] = name
    flat[#flat + 1] = string.format('%.0f', value)
  end
  redis.call('DEL', WINDOW)
  redis.call('HSET', WINDOW, unpack(flat))
end

local function count(field, by) redis.call('HINCRBY', ACCOUNT, field, by) end

local function backlog(group)
  return redis.call('ZCARD', key('open.' .. group, partition))
end

-- What the required groups still have before them: their clips, and outcomes nobody has folded.
local function required_backlog()
  local most = redis.call('XLEN', key('scores.v1', partition))
  for _, group in ipairs(job.required) do most = most + backlog(group) end
  return most
end

-- Under lag windows overlap less: the stride widens from its setting up to T.
local function stride_under(load)
  if load <= policy.soft_backlog then return policy.stride end
  local over = (load - policy.soft_backlog) / (policy.hard_backlog - policy.soft_backlog)
  return math.ceil(policy.stride + (policy.length - policy.stride) * math.min(1, over))
end

-- The oldest clip of a group that lags is given up: its outcome is written here, so that it counts
-- and closes its gap even when no worker of the group is alive.
local function shed_oldest(group)
  local entry = redis.call('ZPOPMIN', key('open.' .. group.name, partition))[1]
  local clip = clip_at(partition, entry)
  redis.call('XACK', key('clips.v1', partition), group.name, entry)
  if not clip then return end
  local times = {}
  for i = clip.owned_from + 1, #clip.frames do
    times[#times + 1] = clip.frames[i].captured_us
  end
  redis.call('XADD', group.stream, 'MAXLEN', '~', group.fuse, '*', 'type', group.type,
    'body', cmsgpack.pack({
      camera_id = clip.camera_id, born = clip.born, epoch = clip.epoch, seq = clip.seq,
      captured_us = times, ready_us = clip.ready_us, clip_entry = entry,
      outcome = 'shed', reason = 'lag'}),
    'traceparent', traceparent)
  redis.call('HINCRBY', key('account', partition, clip.camera_id), 'shed.' .. group.name, #times)
  release_clip(partition, entry, freed)
end

local function shed_lagging_groups()
  for _, group in ipairs(job.sheddable) do
    while backlog(group.name) > policy.shed_backlog do shed_oldest(group) end
  end
end

local function waiting_frames(state)
  if not state.published_slot then return redis.call('ZCARD', RING) end
  return redis.call('ZCOUNT', RING, '(' .. string.format('%.0f', state.published_slot), '+inf')
end

-- Publishes what waits, with as much context as the ring has: a full window where it can be had,
-- a short one where not.
local function publish_window(state)
  local waiting = waiting_frames(state)
  redis.call('ZREM', DUE, camera)
  if waiting == 0 then return end
  local total = redis.call('ZCARD', RING)
  local size = math.min(total, policy.length)
  local members = redis.call('ZRANGE', RING, -size, -1, 'WITHSCORES')
  local frames = {}
  for i = 1, #members, 2 do frames[#frames + 1] = cmsgpack.unpack(members[i]) end

  local groups = {}
  for _, name in ipairs(job.required) do groups[#groups + 1] = name end
  for _, group in ipairs(job.sheddable) do groups[#groups + 1] = group.name end
  publish_clip(partition, {
    camera_id = camera, born = state.born, epoch = state.epoch, seq = state.seq,
    frames = frames, owned_from = size - waiting, short = total < policy.length,
    ready_us = now_us, expires_us = now_us + policy.frame_ttl_ms * 1000, masks = job.masks,
    unwatched = job.unwatched,
  }, groups, traceparent, now_ms)

  state.seq = state.seq + 1
  state.published_us = frames[#frames].captured_us
  state.published_slot = tonumber(members[#members])
  count('clips', 1)
  count('owned', waiting)
  published = published + 1
  for _, old in ipairs(redis.call('ZRANGE', RING, 0, -policy.length)) do
    drop_frame(partition, camera, cmsgpack.unpack(old).key, freed)
  end
  redis.call('ZREMRANGEBYRANK', RING, 0, -policy.length)
  shed_lagging_groups()
end

-- Nothing of this stretch may be seen together with what follows.
local function end_stretch(state)
  publish_window(state)
  for _, frame in ipairs(redis.call('ZRANGE', RING, 0, -1)) do
    drop_frame(partition, camera, cmsgpack.unpack(frame).key, freed)
  end
  redis.call('DEL', RING)
  state.tail_us = nil
end

-- Accepts a frame, adds it to its camera's window, publishes the window when it is due: one step.
--
-- job.frame {key, captured_us, width, height, boxes}, job.digest
-- -> msgpack {status, reason, epoch, retry_after_s, published, freed, unneeded}
--    status: accepted, thinned, refused, overloaded. A repeated frame gets its first answer again.

local frame = job.frame
local captured_us = frame.captured_us
local stamp = string.format('%.0f', captured_us)
local state = read_state()

local function answer(status, reason, more)
  local reply = more or {}
  reply.status, reply.reason = status, reason
  reply.epoch = reply.epoch or state.epoch
  reply.published, reply.freed = published, freed
  reply.unneeded = redis.call('HEXISTS', key('refs', partition, camera), frame.key) == 0
  return cmsgpack.pack(reply)
end

local function refuse(reason)
  count('refused.' .. reason, 1)
  return answer('refused', reason)
end

local function remember(disposition)
  redis.call('HSET', SEEN, stamp,
    job.digest .. '|' .. string.format('%.0f', state.epoch) .. '|' .. disposition)
  redis.call('RPUSH', SEEN_ORDER, stamp)
  if redis.call('LLEN', SEEN_ORDER) > policy.retry_memory then
    redis.call('HDEL', SEEN, redis.call('LPOP', SEEN_ORDER))
  end
end

local function repeated()
  local before = redis.call('HGET', SEEN, stamp)
  if not before then return nil end
  local digest, epoch, disposition = string.match(before, '([^|]*)|([^|]*)|(.*)')
  if digest == job.digest then
    count('repeated', 1)
    return answer(disposition, nil, {epoch = tonumber(epoch)})
  end
  if tonumber(epoch) == state.epoch then return refuse('conflict') end
end

local function overloaded(load)
  local oldest = redis.call('ZRANGE', key('open.' .. job.required[1], partition), 0, 0, 'WITHSCORES')
  local age_ms = oldest[2] and now_ms - tonumber(oldest[2]) or 0
  local held = tonumber(redis.call('GET', key('bytes', partition)) or 0)
  local reason
  if load >= policy.hard_backlog then reason = 'backlog'
  elseif age_ms >= policy.max_backlog_age_ms then reason = 'age'
  elseif held >= policy.max_bytes then reason = 'bytes' end
  if not reason then return nil end
  -- Little's law: the excess drains in the share of the oldest clip's age that it is of the load.
  local excess = math.max(0, load - policy.soft_backlog) / math.max(1, load)
  local retry_after_s = math.max(1, math.min(30, math.ceil(age_ms / 1000 * excess)))
  count('overloaded', 1)
  return answer('overloaded', reason, {retry_after_s = retry_after_s})
end

local function is_late()
  if state.published_us and captured_us <= state.published_us then return true end
  if state.watermark_us and captured_us < state.watermark_us - policy.lateness_us then return true end
  if not state.head_us then return false end
  return captured_us < state.head_us - policy.max_gap * policy.interval_us
end

-- A camera whose clock was set back sends one late frame after the other, each newer than the one
-- before. Then a new epoch begins.
local function clock_was_set_back()
  if captured_us >= state.watermark_us - policy.jump_us then return false end
  local climbs = state.back_us and captured_us > state.back_us
  state.back_n = climbs and (state.back_n or 0) + 1 or 1
  state.back_us = captured_us
  return state.back_n >= policy.jump_frames
end

local function open_epoch()
  end_stretch(state)
  state = {
    born = state.born, seq = state.seq,
    epoch = math.max(state.epoch + 1, math.floor(now_us / 1000000)),
  }
  count('epochs', 1)
end

local function slot_of()
  state.anchor_us = state.anchor_us or captured_us
  -- A quarter of a slot of grace: cameras at once or twice the rate may jitter without losing any.
  return math.floor((captured_us - state.anchor_us) / policy.interval_us + 0.25)
end

local function note_arrival()
  state.watermark_us = math.max(state.watermark_us or captured_us, captured_us)
  state.back_n, state.back_us = nil, nil
  local skew = now_us - captured_us
  state.skew_us = state.skew_us and math.floor(state.skew_us * 0.9 + skew * 0.1) or skew
  redis.call('HSET', ACCOUNT, 'arrived_us', string.format('%.0f', now_us))
  count('accepted', 1)
end

local function thin()
  note_arrival()
  count('thinned', 1)
  remember('thinned')
  write_state(state)
  return answer('thinned')
end

local function accept(slot, load)
  note_arrival()
  redis.call('ZADD', RING, slot, cmsgpack.pack(frame))
  hold_frame(partition, camera, frame.key)
  state.tail_us = math.max(state.tail_us or captured_us, captured_us)
  state.head_us = math.min(state.head_us or captured_us, captured_us)
  remember('accepted')
  redis.call('ZADD', DUE, 'NX', now_ms + policy.patience_ms, camera)
  if redis.call('ZCARD', RING) >= policy.length
      and waiting_frames(state) >= stride_under(load) then
    publish_window(state)
  end
  write_state(state)
  return answer('accepted')
end

local before = repeated()
if before then return before end
if captured_us > now_us + policy.future_us then return refuse('future') end
if policy.stale_us and captured_us < now_us - policy.stale_us then return refuse('stale') end
local load = required_backlog()
local busy = overloaded(load)
if busy then return busy end

if is_late() then
  if not clock_was_set_back() then
    write_state(state)
    return refuse('late')
  end
  open_epoch()
end
if state.tail_us and captured_us - state.tail_us > policy.max_gap * policy.interval_us then
  end_stretch(state)
  state.head_us = nil
  count('gaps', 1)
end
local slot = slot_of()
if (state.published_slot and slot <= state.published_slot)
    or redis.call('ZCOUNT', RING, slot, slot) > 0 then
  return thin()
end
return accept(slot, load)

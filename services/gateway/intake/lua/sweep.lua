-- Publishes the waiting frames of a camera whose window is overdue. Any gateway may call it.
--
-- -> msgpack {published, freed}

local due_ms = redis.call('ZSCORE', DUE, camera)
if due_ms and tonumber(due_ms) <= now_ms then
  local state = read_state()
  publish_window(state)
  write_state(state)
end
return cmsgpack.pack({published = published, freed = freed})

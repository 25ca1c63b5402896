-- Drops a camera's window and memory. Clips that are under way come to their end.
--
-- -> msgpack {published, freed}

for _, frame in ipairs(redis.call('ZRANGE', RING, 0, -1)) do
  drop_frame(partition, camera, cmsgpack.unpack(frame).key, freed)
end
redis.call('DEL', WINDOW, RING, SEEN, SEEN_ORDER, ACCOUNT)
redis.call('ZREM', DUE, camera)
return cmsgpack.pack({published = 0, freed = freed})

-- Keeps a delivery that is in work, if it is still ours: its idle time starts anew, its delivery
-- count stays.
--
-- KEYS[1] stream   ARGV: group, consumer, entry   -> 1, or 0 when another consumer has claimed it

local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)
if #pending == 0 or pending[1][2] ~= ARGV[2] then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID')
return 1

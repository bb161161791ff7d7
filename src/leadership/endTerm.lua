-- Marks how and when the newest term of a role ended. The first mark stands.
--
-- KEYS: 1 leader, 2 ended
-- ARGV: 1 instance, 2 term, 3 cause, 4 note ('' for none), 5 ms since the last sign of the leader
-- include clock
local newest = redis.call('HMGET', KEYS[1], 'instance', 'term')
if newest[1] ~= ARGV[1] or newest[2] ~= ARGV[2] then return end
if redis.call('HGET', KEYS[2], 'term') == ARGV[2] then return end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'term', ARGV[2], 'cause', ARGV[3], 'at', string.format('%d', now - ARGV[5]))
if ARGV[4] ~= '' then redis.call('HSET', KEYS[2], 'note', ARGV[4]) end

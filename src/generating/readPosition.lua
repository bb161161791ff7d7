-- Reads everything that a commit depends on, in one round trip.
-- KEYS: 1 leader, 2 cursor, 3 paused, 4 waiting
-- ARGV: 1 field of `paused` that stops this source
-- Returns instance, term, generated, cursor, who paused (all or this source), number of waiting messages.
local leader = redis.call('HMGET', KEYS[1], 'instance', 'term')
local cursor = redis.call('HMGET', KEYS[2], 'generated', 'cursor')
local paused = redis.call('HMGET', KEYS[3], 'generating', ARGV[1])
return { leader[1], leader[2], cursor[1], cursor[2], paused[1] or paused[2], redis.call('LLEN', KEYS[4]) }

-- Stores what an instance says of itself, stamped with Redis's own clock: clocks of different machines do not matter.
--
-- KEYS: 1 instances
-- ARGV: 1 instance, 2 its report (a JSON object)
-- include clock
redis.call('HSET', KEYS[1], ARGV[1], '{"seen":' .. string.format('%d', now) .. ',' .. string.sub(ARGV[2], 2))

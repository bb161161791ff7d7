-- Stores an instance's report, stamped with Redis's own clock, so that the clocks of the machines do not matter.
--
-- KEYS: 1 instances
-- ARGV: 1 instance, 2 its report (a JSON object)
-- include clock
redis.call('HSET', KEYS[1], ARGV[1], '{"seen":' .. string.format('%d', now) .. ',' .. string.sub(ARGV[2], 2))

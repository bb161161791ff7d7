-- Stores one sample of the queue, unless the last one is too recent.
--
-- KEYS: 1 history, 2 waiting, 3 active, 4 delayed, 5 failed, 6 job counter, 7 recorder
-- ARGV: 1 minimum time since the last sample in ms, 2 number of samples kept
-- include clock
local last = redis.call('LINDEX', KEYS[1], -1)
local lastAt = last and tonumber(string.match(last, '^%[(%d+)'))
if lastAt and now >= lastAt and now - lastAt < tonumber(ARGV[1]) then return end
local waiting = redis.call('LLEN', KEYS[2])
local active = redis.call('LLEN', KEYS[3])
local delayed = redis.call('ZCARD', KEYS[4])
local added = tonumber(redis.call('GET', KEYS[6]) or 0) or 0
local failed = redis.call('ZCARD', KEYS[5])
local cleared = tonumber(redis.call('HGET', KEYS[7], 'cleared') or 0) or 0
local completed = math.max(0, added - waiting - active - delayed - failed - cleared)
redis.call('RPUSH', KEYS[1], cjson.encode({ now, waiting, active, delayed, completed, failed + cleared, added }))
redis.call('LTRIM', KEYS[1], -ARGV[2], -1)

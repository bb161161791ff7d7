-- Last script of a commit: writes the position if every message has been added since noteCounter.lua ran. BullMQ's own
-- scripts can fail, for example with NOSCRIPT after a SCRIPT FLUSH, and EXEC still runs the remaining commands.
-- KEYS: 1 cursor, 2 job counter
-- ARGV: 1 number of messages, 2 cursor as JSON, 3 messages generated so far
local counted = redis.call('HGET', KEYS[1], 'counted')
redis.call('HDEL', KEYS[1], 'counted')
local counter = redis.call('GET', KEYS[2]) or '0'
if not counted or tonumber(counter) ~= tonumber(counted) + tonumber(ARGV[1]) then
  return redis.error_reply('INCOMPLETE the messages of this commit were not added')
end
return redis.call('HSET', KEYS[1], 'cursor', ARGV[2], 'generated', ARGV[3])

-- Returns id, time of failure ('' if the job is not in the failed set) and record ('' if it is too long) of the newest
-- errors.
--
-- KEYS: errors, failed
-- ARGV: number of errors, maximum length of a record in bytes, then further ids to look up
local found = {}
local add = function(id, score)
  local size = redis.call('HSTRLEN', KEYS[1], id)
  if size == 0 then return end
  local record = size <= tonumber(ARGV[2]) and redis.call('HGET', KEYS[1], id) or ''
  for _, value in ipairs({ id, score, record }) do table.insert(found, value) end
end
local newest = redis.call('ZREVRANGE', KEYS[2], 0, ARGV[1] - 1, 'WITHSCORES')
for i = 1, #newest, 2 do add(newest[i], newest[i + 1]) end
for i = 3, #ARGV do add(ARGV[i], '') end
return found

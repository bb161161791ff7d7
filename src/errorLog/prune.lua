-- Removes the records of jobs that existed and have been deleted. A record whose id no job ever had was added manually
-- and is kept.
--
-- KEYS: errors, failed, the job counter, then the job of each id
-- ARGV: the ids
local newest = tonumber(redis.call('GET', KEYS[3]) or 0)
for i, id in ipairs(ARGV) do
  local number = string.match(id, '^[1-9]%d*$') and tonumber(id)
  if number and number <= newest and redis.call('EXISTS', KEYS[i + 3]) == 0
    and not redis.call('ZSCORE', KEYS[2], id) then
    redis.call('HDEL', KEYS[1], id)
  end
end

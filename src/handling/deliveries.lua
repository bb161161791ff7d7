-- Returns the active messages of one instance: id, attempt and lock token of each. One step reads all three, so that
-- the token belongs to this delivery.
-- KEYS: active
-- ARGV: prefix of the keys of jobs, instance
local deliveries = {}
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local job = redis.call('HMGET', ARGV[1] .. id, 'pb', 'ats')
  local token = redis.call('GET', ARGV[1] .. id .. ':lock')
  if job[1] == ARGV[2] and token then table.insert(deliveries, { id, job[2] or '0', token }) end
end
return deliveries

-- Returns the instances that hold active messages, each once.
-- KEYS: active
-- ARGV: prefix of the keys of jobs
local holders = {}
local known = {}
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local holder = redis.call('HGET', ARGV[1] .. id, 'pb')
  if holder and not known[holder] then
    known[holder] = true
    table.insert(holders, holder)
  end
end
return holders

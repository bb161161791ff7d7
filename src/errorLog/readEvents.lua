-- Reads the next events of the stream. Returns the events that concern errors and always the last one, so that the
-- reader knows the position; also returns how many there were.
--
-- KEYS: events
-- ARGV: id of the last event read, how many to read at most
local events = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
local found = {}
for i, event in ipairs(events) do
  local fields = event[2]
  local name = fields[2]
  if i == #events or name == 'failed' or name == 'removed' or name == 'cleaned'
    or name == 'waiting' and fields[#fields] == 'failed' then table.insert(found, event) end
end
return { found, #events }

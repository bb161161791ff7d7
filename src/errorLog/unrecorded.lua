-- Returns the next cursor and, from one page of the failed set, the ids without a record. Only ids leave Redis, because
-- records can be many and large.
--
-- KEYS: failed, errors
-- ARGV: cursor of ZSCAN, how many to look at
local page = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local found = {}
for i = 1, #page[2], 2 do
  if redis.call('HEXISTS', KEYS[2], page[2][i]) == 0 then table.insert(found, page[2][i]) end
end
return { page[1], found }

-- Returns the next cursor and, from one page of the records, the ids whose job is not in the failed set.
--
-- KEYS: failed, errors
-- ARGV: cursor of HSCAN, how many to look at
local page = redis.call('HSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
local found = {}
for i = 1, #page[2], 2 do
  if not redis.call('ZSCORE', KEYS[1], page[2][i]) then table.insert(found, page[2][i]) end
end
return { page[1], found }

-- Removes each record that still equals the given one, and takes its job out of the failed set. Returns the ids it took:
-- they are in no set anymore, so nobody can retry them while their jobs are deleted.
--
-- KEYS: errors, failed
-- ARGV: id and record of each error
local taken = {}
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
    if redis.call('ZREM', KEYS[2], ARGV[i]) == 1 then table.insert(taken, ARGV[i]) end
  end
end
return taken

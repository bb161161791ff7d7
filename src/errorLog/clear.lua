-- Removes each record that still equals the given one, and removes its job from the failed set. Returns the removed
-- ids: they are in no set anymore, so nothing can retry them while their jobs are deleted.
--
-- The cleared jobs are counted: a job that was added, not cleared, and is in no set has completed.
--
-- KEYS: errors, failed, recorder
-- ARGV: id and record of each error
local taken = {}
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
    if redis.call('ZREM', KEYS[2], ARGV[i]) == 1 then table.insert(taken, ARGV[i]) end
  end
end
if #taken > 0 then redis.call('HINCRBY', KEYS[3], 'cleared', #taken) end
return taken

-- Writes or removes the error records of jobs, according to whether each is in the failed set now. A job that failed
-- again after it was read is skipped: another event announces that failure.
--
-- KEYS: errors, failed, recorder
-- ARGV: stream position ('' leaves it), then id, finishedOn and record of each job
for i = 2, #ARGV, 3 do
  local failedAt = redis.call('ZSCORE', KEYS[2], ARGV[i])
  if not failedAt then
    redis.call('HDEL', KEYS[1], ARGV[i])
  elseif tonumber(failedAt) == tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
  end
end
if ARGV[1] ~= '' then redis.call('HSET', KEYS[3], 'position', ARGV[1]) end

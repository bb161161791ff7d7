-- Compares the failed set with the error log. Returns the id of the newest event ('0-0' if there is none), and the
-- number of failed jobs less the number of records, not counting the jobs of events that the recorder has not processed
-- yet. That number is '' if it cannot be known now: too many events are left, or one of them does not name its jobs.
--
-- KEYS: events, failed, errors
-- ARGV: id of the last event that was dealt with, how many events to look at
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local last = newest and newest[1] or '0-0'
local difference = redis.call('ZCARD', KEYS[2]) - redis.call('HLEN', KEYS[3])
local events = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
if #events == tonumber(ARGV[2]) then return { last, '' } end
local seen = {}
for _, event in ipairs(events) do
  local fields = {}
  for i = 1, #event[2], 2 do fields[event[2][i]] = event[2][i + 1] end
  local name, id = fields.event, fields.jobId
  if name == 'cleaned' then return { last, '' } end
  local concerns = name == 'failed' or name == 'removed' or name == 'waiting' and fields.prev == 'failed'
  if concerns and id and not seen[id] then
    seen[id] = true
    if redis.call('ZSCORE', KEYS[2], id) then difference = difference - 1 end
    difference = difference + redis.call('HEXISTS', KEYS[3], id)
  end
end
return { last, tostring(difference) }

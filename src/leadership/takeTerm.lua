-- Takes the next term of a role: writes the instance into the fencing record, then the history of terms.
-- Everything after the fencing record is only for display: it uses pcall, so that a failure cannot keep an instance
-- from leading.
--
-- KEYS: 1 leader, 2 ended, 3 instances, 4 terms, 5 roles, then for a generator 6 cursor, 7 positions
-- ARGV: 1 instance, 2 since (ISO 8601), 3 for how long the lease had not been renewed in ms ('' if unknown),
--       4 terms kept, 5 id of the role, 6 positions kept, 7 the newest term that the caller knows of on this connection
-- Returns { term, cause }
-- include clock
local before = redis.call('HMGET', KEYS[1], 'instance', 'term')
local term = redis.call('HINCRBY', KEYS[1], 'term', 1)
-- The fencing record of a running group was deleted. Continue the numbering of terms.
local deleted = term <= tonumber(ARGV[7])
if deleted then
  term = tonumber(ARGV[7]) + 1
  redis.call('HSET', KEYS[1], 'term', term)
end
redis.call('HSET', KEYS[1], 'instance', ARGV[1], 'since', ARGV[2])
redis.pcall('HSET', KEYS[5], ARGV[5], term .. ' ' .. ARGV[1])
local entry = { term = term, instance = ARGV[1], since = now, cause = 'first' }
if before[2] then
  entry.cause = 'silence'
  local lastSign
  local mark = redis.pcall('HMGET', KEYS[2], 'term', 'cause', 'at', 'note')
  if mark[1] == before[2] and mark[2] then
    entry.cause = mark[2]
    entry.note = mark[4] or nil
    lastSign = tonumber(mark[3])
  else
    local report = redis.pcall('HGET', KEYS[3], before[1] or '')
    if type(report) == 'string' then lastSign = tonumber(string.match(report, '^{"seen":(%d+)')) end
    if ARGV[3] ~= '' then lastSign = math.max(lastSign or 0, now - tonumber(ARGV[3])) end
  end
  if lastSign then entry.vacantMs = math.max(0, now - lastSign) end
end
redis.pcall('LPUSH', KEYS[4], cjson.encode(entry))
redis.pcall('LTRIM', KEYS[4], 0, ARGV[4] - 1)
if KEYS[7] then
  local position = redis.pcall('HMGET', KEYS[6], 'cursor', 'generated')
  local start = { event = 'term', term = term, who = ARGV[1], at = now }
  if position[1] then start.cursor = position[1] end
  start.generated = tonumber(position[2] or 0) or 0
  if not position[2] then
    local newest = redis.pcall('LINDEX', KEYS[7], 0)
    local ok, last = pcall(cjson.decode, type(newest) == 'string' and newest or '{}')
    if not ok or type(last) ~= 'table' then last = {} end
    -- The position is gone although the group had one: see generating/deletedPosition.ts.
    if deleted or last.deleted or (tonumber(last.generated) or 0) > 0 then
      start.deleted = true
      start.generated = tonumber(last.generated) or 0
    end
  end
  redis.pcall('LPUSH', KEYS[7], cjson.encode(start))
  redis.pcall('LTRIM', KEYS[7], 0, ARGV[6] - 1)
end
return { term, entry.cause }

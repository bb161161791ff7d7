-- Sets or resets the cursor of a source and takes the next term in the same step, so that no batch that started from an
-- older cursor can be committed anymore. The histories come last and use pcall: a failure there must not prevent the
-- move.
--
-- KEYS: 1 leader, 2 cursor, 3 roles, 4 ended, 5 terms, 6 positions
-- ARGV: 1 who, 2 since (ISO 8601), 3 event ('set' or 'reset'), 4 cursor as JSON, 5 the cursor that must be found, as stored:
--       '' for any, '-' for none, '=' and its text, 6 id of the role, 7 terms kept, 8 positions kept
-- Returns { 1, term, cursor before, generated }, or { 0, cursor found }
-- include clock
local found = redis.call('HMGET', KEYS[2], 'cursor', 'generated')
local expected = string.sub(ARGV[5], 1, 1)
if expected == '-' and found[1] then return { 0, found[1] } end
if expected == '=' and found[1] ~= string.sub(ARGV[5], 2) then return { 0, found[1] } end
local term = redis.call('HINCRBY', KEYS[1], 'term', 1)
redis.call('HSET', KEYS[1], 'instance', ARGV[1], 'since', ARGV[2])
redis.call('HSET', KEYS[2], 'term', term, 'generated', found[2] or '0')
if ARGV[3] == 'set' then
  redis.call('HSET', KEYS[2], 'cursor', ARGV[4])
else
  redis.call('HDEL', KEYS[2], 'cursor')
end
redis.pcall('HSET', KEYS[3], ARGV[6], term .. ' ' .. ARGV[1])
local to = ARGV[3] == 'set' and ARGV[4] or 'none'
local short = function(text) return #text > 200 and string.sub(text, 1, 200) .. '...' or text end
local note = 'cursor moved from ' .. short(found[1] or 'none') .. ' to ' .. short(to) .. ' by ' .. ARGV[1]
redis.pcall('DEL', KEYS[4])
redis.pcall('HSET', KEYS[4], 'term', term, 'cause', 'by hand', 'note', note, 'at', string.format('%d', now))
local entry = { term = term, instance = ARGV[1], since = now, cause = 'by hand', note = note }
redis.pcall('LPUSH', KEYS[5], cjson.encode(entry))
redis.pcall('LTRIM', KEYS[5], 0, ARGV[7] - 1)
local moved = { event = ARGV[3], term = term, who = ARGV[1], at = now, generated = tonumber(found[2] or 0) or 0 }
if found[1] then moved.from = found[1] end
if ARGV[3] == 'set' then moved.cursor = ARGV[4] end
redis.pcall('LPUSH', KEYS[6], cjson.encode(moved))
redis.pcall('LTRIM', KEYS[6], 0, ARGV[8] - 1)
return { 1, term, found[1], moved.generated }

-- Extends the leases that still hold the secret they are expected to hold. Leases of others stay as they are.
--
-- KEYS: leases
-- ARGV: 1 time to live in ms, then the secret of each lease
-- Returns for each lease 1 if it has been extended, 0 if it is no longer held with this secret
local held = redis.call('MGET', unpack(KEYS))
local extended = {}
for i, key in ipairs(KEYS) do
  extended[i] = held[i] == ARGV[i + 1] and redis.call('PEXPIRE', key, ARGV[1]) or 0
end
return extended

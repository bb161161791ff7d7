-- Extends the leases that still hold the expected secret. Leases of other instances stay unchanged.
--
-- KEYS: leases
-- ARGV: 1 time to live in ms, then the secret of each lease
-- Returns 1 for each lease that was extended, 0 for each that no longer holds this secret
local held = redis.call('MGET', unpack(KEYS))
local extended = {}
for i, key in ipairs(KEYS) do
  extended[i] = held[i] == ARGV[i + 1] and redis.call('PEXPIRE', key, ARGV[1]) or 0
end
return extended

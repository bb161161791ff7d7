-- Defines `now`: the time of this Redis server, in whole milliseconds since 1970.
local now
do
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- For wrk: each connection pauses at random between an answer and its next request, as independent clients do, so that
-- requests come one by one and not all at the same moment. `wrk … URL -- MS` says how long the pauses are on average.
local average

function init(arguments)
  average = tonumber(arguments[1])
end

function delay()
  return -average * math.log(1 - math.random())
end

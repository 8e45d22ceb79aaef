-- Answers a request whose target has sent nothing, as ALB does: 502, or 504 once the idle time-out is over (rule L6).
-- HAProxy by itself closes the client's connection without a word, where it is not the connection's first request.
-- Functions used here: https://www.arpalert.org/src/haproxy-lua-api/2.6/index.html

core.register_action("no_answer", {"tcp-res"}, function(txn)
    -- A client that has gone is answered by no one, and HAProxy counts its request as refused (ALB: 460).
    if not txn.req:may_recv() then
        return
    end
    local late = txn.f:date(0, "ms") - txn:get_var("txn.began") >= txn:get_var("txn.patience")
    local reply = txn:reply({status = late and 504 or 502})
    reply:add_header("content-type", "text/html")
    reply:set_body("<html><body><h1>No answer</h1>\nThe target has not answered this request.\n</body></html>\n")
    txn:done(reply)
end)

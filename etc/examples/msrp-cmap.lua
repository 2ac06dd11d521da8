-- The second example of the guide to Kamailio's module msrp, "Event Route (using msrp_cmap_ functions for connection
-- tracking)", in Lua: clients authenticate with the users of the database and get a session, messages go where sessions lead.
--
--   [msrp]
--   event_callback = ksr_msrp_event
--   [script]
--   file = /etc/tandem/msrp-cmap.lua

local REALM = "" -- that of the configuration

-- What runs for every frame is looked up once, here: KSR.msrp.relay() is three look-ups a call.
local relay, reply, cmap_lookup, get = KSR.msrp.relay, KSR.msrp.reply, KSR.msrp.cmap_lookup, KSR.pv.get

local PHRASES = {
    [400] = "Bad Request", [403] = "Forbidden", [408] = "Downstream transaction timed out",
    [506] = "Session bound to another connection",
}

-- An AUTH for this server.
local function auth()
    if cmap_lookup() == -4 then
        return reply(481, "Session-does-not-exist") -- it names a session that there is not: no credentials needed
    end
    local rc = KSR.auth_db.www_authenticate(REALM, "subscriber")
    if rc > 0 then
        KSR.msrp.cmap_save()
    elseif rc == -1 then
        reply(400, "Bad Request")
    elseif rc == -3 then
        reply(403, "Forbidden")
    elseif rc == -6 then
        reply(408, "Authentication Timeout")
    elseif KSR.auth.auth_get_www_authenticate(REALM, 1, "$var(wauth)") > 0 then
        reply(401, "Unauthorized", KSR.pv.gete("$var(wauth)"))
    end
end

function ksr_msrp_event(evname)
    local method = get("$msrp(method)")
    if not method then -- a response
        relay()
        return
    end

    if method ~= "SEND" and method ~= "REPORT" then
        if get("$msrp(nexthops)") == 0 then
            if method == "AUTH" then
                auth()
            else
                reply(501, "Request-method-not-understood")
            end
            return
        elseif method == "AUTH" then
            if relay() < 0 then
                KSR.msrp.default() -- the built-in routing refuses it, and says why
            end
            return
        end
    end

    local rc = cmap_lookup()
    if rc > 0 then
        if method == "SEND" then
            reply(200, "OK")
        end
        relay()
    elseif rc == -4 then
        reply(481, "Session-does-not-exist")
    elseif rc ~= -1 then -- -1 is for another relay: no answer, the connection is closed
        reply(-rc, PHRASES[-rc] or "Forbidden")
    end
end

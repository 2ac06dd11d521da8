-- A registrar and proxy for the domains served, written out: what the built-in routing does, to begin with and to change.
--
--   [sip]
--   event_callback = ksr_request_route
--   [script]
--   file = /etc/tandem/sip-basic.lua

local AUTHENTICATE = true -- requests of our users; for REGISTER sip.authenticate says it

local ALLOW = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE"
local NOT_RECORDED = { REGISTER = true, MESSAGE = true, OPTIONS = true, INFO = true, BYE = true, ACK = true, PRACK = true, PUBLISH = true }

local function relay()
    if not NOT_RECORDED[KSR.pv.gete("$rm")] then
        KSR.rr.record_route() -- later requests of the dialog come through here, too
    end
    if KSR.tm.t_relay() < 0 then
        KSR.sl.sl_reply_error()
    end
end

-- May it go on? Else it has its answer.
local function is_checked()
    if KSR.maxfwd.process_maxfwd(10) < 0 and not KSR.is_OPTIONS() then
        KSR.sl.send_reply(483, "Too Many Hops")
        return false
    end
    return KSR.sanity.sanity_check(1511, 7) > 0
end

local function options()
    KSR.hdr.append_to_reply(ALLOW)
    KSR.hdr.append_to_reply("Supported: path")
    KSR.hdr.append_to_reply("Accept: */*")
    KSR.sl.send_reply(200, "OK")
end

-- Users of ours show who they are; others may reach ours, and nobody else through us.
local function is_authenticated(is_for_us)
    if not AUTHENTICATE or not KSR.is_myself_furi() then
        if not is_for_us then
            KSR.sl.send_reply(403, "Relaying Denied")
        end
        return is_for_us
    end
    local realm = KSR.kx.gete_fhost()
    local result = KSR.auth_db.auth_check(realm, "subscriber", 1)
    if result == -8 then
        KSR.sl.send_reply(403, "From Is Not Yours")
    elseif result < 0 then
        KSR.auth.auth_challenge(realm, 0)
    end
    return result > 0
end

local function to_user()
    if KSR.registrar.lookup("location") > 0 then
        relay()
    elseif KSR.uri_db.does_uri_exist() > 0 then
        KSR.sl.send_reply(480, "Temporarily Unavailable")
    else
        KSR.sl.send_reply(404, "Not Found")
    end
end

function ksr_request_route()
    if not is_checked() then
        return
    end
    if KSR.rr.loose_route() > 0 then -- a dialog that came through here
        return relay()
    end
    if KSR.is_ACK() then -- of no such dialog
        return
    end

    local is_for_us = KSR.is_myself_ruri() and KSR.hdr.is_present("Route") < 0
    if is_for_us and KSR.is_REGISTER() then
        KSR.registrar.save("location", 0) -- with credentials, as sip.authenticate says
        return
    end
    if is_for_us and KSR.corex.has_ruri_user() < 0 then
        if KSR.is_OPTIONS() then
            return options()
        end
        return KSR.sl.send_reply(404, "Not Found")
    end
    if not is_authenticated(is_for_us) then
        return
    end
    if is_for_us then
        to_user()
    else
        relay()
    end
end

-- A policy before the built-in routing's: whom users may call, and how often. What is allowed goes the usual way.
--
--   [sip]
--   event_callback = ksr_request_route
--   [script]
--   file   = /etc/tandem/sip-policy-by-domain.lua
--   htable = calls=>size=12;autoexpire=60;updateexpire=0

-- Domains that nobody here may call, and calls a minute from one user.
local REFUSED = { ["premium.example"] = true, ["prank.example"] = true }
local PER_MINUTE = 30

local function refuse(code, text)
    KSR.notice("refused: from=" .. KSR.kx.gete_furi() .. " to=" .. KSR.kx.gete_ruri())
    KSR.sl.send_reply(code, text)
end

function ksr_request_route()
    if KSR.is_method_in("IM") and KSR.siputils.has_totag() < 0 then
        if REFUSED[KSR.pv.gete("$(rd{s.tolower})")] then
            return refuse(403, "Forbidden")
        end
        if KSR.htable.sht_inc("calls", KSR.pv.gete("$(fu{s.tolower})")) > PER_MINUTE then
            return refuse(503, "Too Many Calls")
        end
    end
    KSR.sip.default() -- as if there were no script
end

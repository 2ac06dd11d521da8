-- A policy before the built-in routing's: who may talk to whom, and how much. What is allowed goes the usual way.
--
--   [msrp]
--   event_callback = ksr_msrp_event
--   [script]
--   file   = /etc/tandem/policy-by-domain.lua
--   htable = quota=>size=12;autoexpire=60;updateexpire=0

-- Hosts of next hops outside that users may not reach, and messages a minute that one connection may send.
local REFUSED = { ["pastebin.example"] = true, ["files.example"] = true }
local PER_MINUTE = 600

local function refuse(code, text)
    KSR.notice("refused: from=" .. KSR.pv.gete("$msrp(firsthop)") .. " to=" .. KSR.pv.gete("$msrp(lasthop)"))
    KSR.msrp.reply(code, text)
end

function ksr_msrp_event(evname)
    if KSR.pv.gete("$msrp(method)") == "SEND" then
        local host = KSR.pv.gete("$(msrp(lasthop){msrpuri.host}{s.tolower})")
        if REFUSED[host] then
            return refuse(403, "Forbidden")
        end
        if KSR.htable.sht_inc("quota", KSR.pv.get("$msrp(conid)")) > PER_MINUTE then
            return refuse(403, "Too many messages")
        end
    end
    KSR.msrp.default() -- as if there were no script
end

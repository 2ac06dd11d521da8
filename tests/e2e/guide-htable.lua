-- The first example of the guide to Kamailio's module msrp, line by line, as somebody has it who runs it there with KEMI and moves it here. The test says
-- what REALM, SERVER and PASSWORDS are. What ships as etc/examples/msrp-htable.lua is what one would write.
local MSRP_MAX_EXPIRES = 3600
local cnt = 0
function ksr_msrp_event(evname)
    KSR.xlog.xdbg("#[[$msrp(method)]] [[$si:$sp]] crthop [$msrp(crthop)] nexthops [$msrp(nexthops)] sessid [$msrp(sessid)]\n")
    KSR.msrp.reply_flags(1)
    if KSR.msrp.is_reply() > 0 then
        KSR.msrp.relay()
    elseif KSR.pv.get("$msrp(method)") == "AUTH" then
        if KSR.pv.get("$msrp(nexthops)") > 0 then KSR.msrp.relay() return 1 end
        KSR.pv.sets("$var(passwd)", PASSWORDS[KSR.pv.gete("$au")] or "")
        if KSR.auth.pv_www_authenticate_method(REALM, KSR.pv.get("$var(passwd)"), 0, KSR.pv.get("$msrp(method)")) < 0 then
            if KSR.auth.auth_get_www_authenticate(REALM, 1, "$var(wauth)") > 0 then
                KSR.msrp.reply(401, "Unauthorized", KSR.pv.get("$var(wauth)"))
            else
                KSR.msrp.reply("500", "Server Error", "")
            end
            return 1
        end
        KSR.pv.seti("$var(expires)", MSRP_MAX_EXPIRES)
        cnt = cnt + 1
        local sessid = "s." .. KSR.pv.get("$pp") .. "." .. cnt .. "." .. KSR.pv.get("$RANDOM")
        KSR.pv.sets("$var(sessid)", sessid)
        KSR.pv.sets("$sht(msrp=>$var(sessid)::srcaddr)", KSR.pv.get("$msrp(srcaddr)"))
        KSR.pv.sets("$sht(msrp=>$var(sessid)::srcsock)", KSR.pv.get("$msrp(srcsock)"))
        KSR.pv.seti("$shtex(msrp=>$var(sessid))", KSR.pv.get("$var(expires)") + 5)
        KSR.msrp.reply(200, "OK", "Use-Path: " .. SERVER .. "/" .. sessid .. ";tcp\r\nExpires: " .. KSR.pv.get("$var(expires)") .. "\r\n")
    elseif KSR.pv.get("$msrp(method)") == "SEND" or KSR.pv.get("$msrp(method)") == "REPORT" then
        if KSR.pv.get("$msrp(nexthops)") > 1 then
            if KSR.pv.get("$msrp(method)") ~= "REPORT" then KSR.msrp.reply(200, "OK", "") end
            KSR.msrp.relay()
            return 1
        end
        KSR.pv.sets("$var(sessid)", KSR.pv.gete("$msrp(sessid)"))
        if KSR.pv.is_null("$sht(msrp=>$var(sessid)::srcaddr)") then
            if KSR.pv.get("$msrp(method)") ~= "REPORT" then KSR.msrp.reply(481, "Session-does-not-exist", "") end
            return 1
        elseif KSR.pv.get("$msrp(method)") ~= "REPORT" then
            KSR.msrp.reply(200, "OK", "")
        end
        KSR.msrp.relay_flags(1)
        KSR.msrp.set_dst(KSR.pv.get("$sht(msrp=>$var(sessid)::srcaddr)"), KSR.pv.get("$sht(msrp=>$var(sessid)::srcsock)"))
        KSR.msrp.relay()
    else
        KSR.msrp.reply(501, "Request-method-not-understood", "")
    end
    return 1
end

-- The second example of the guide to Kamailio's module msrp, line by line, as somebody has it who runs it there with KEMI and moves it here. The test says
-- what REALM and PASSWORDS are. What ships as etc/examples/msrp-cmap.lua is what one would write.
function ksr_msrp_event(evname)
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
        KSR.msrp.cmap_save()
    elseif KSR.pv.get("$msrp(method)") == "SEND" or KSR.pv.get("$msrp(method)") == "REPORT" then
        if KSR.pv.get("$msrp(nexthops)") > 1 then
            if KSR.pv.get("$msrp(method)") ~= "REPORT" then KSR.msrp.reply(200, "OK", "") end
            KSR.msrp.relay()
            return 1
        end
        if KSR.msrp.cmap_lookup() > 0 then
            if KSR.pv.get("$msrp(method)") ~= "REPORT" then KSR.msrp.reply(200, "OK", "") end
            KSR.msrp.relay_flags(1)
            KSR.msrp.relay()
        else
            KSR.msrp.reply(481, "Session-does-not-exist", "")
        end
    else
        KSR.msrp.reply(501, "Request-method-not-understood", "")
    end
    return 1
end

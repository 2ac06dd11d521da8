-- The routing of kamailio-sip.cfg by KEMI, beside tandem's column +script.

function ksr_request_route()
    local method = KSR.pv.get("$rm")

    if KSR.maxfwd.process_maxfwd(10) < 0 then
        KSR.sl.sl_send_reply(483, "Too Many Hops")
        return 1
    end
    if KSR.sanity.sanity_check(17895, 7) < 0 then
        return 1
    end
    if method == "CANCEL" then
        if KSR.tm.t_check_trans() > 0 then
            KSR.tm.t_relay()
        end
        return 1
    end
    if method ~= "ACK" and KSR.tmx.t_precheck_trans() > 0 then
        KSR.tm.t_check_trans()
        return 1
    end
    KSR.tm.t_check_trans()
    if KSR.siputils.has_totag() > 0 then
        if KSR.rr.loose_route() > 0 then
            KSR.tm.t_relay()
        elseif method ~= "ACK" then
            KSR.sl.sl_send_reply(404, "Not here")
        end
        return 1
    end
    KSR.hdr.remove("Route")
    if method == "REGISTER" then
        if KSR.auth_db.auth_check("bench", "subscriber", 1) < 0 then
            KSR.auth.auth_challenge("bench", 1)
        else
            KSR.registrar.save("location", 0)
        end
        return 1
    end
    if method == "INVITE" or method == "SUBSCRIBE" then
        KSR.rr.record_route()
    end
    if KSR.registrar.lookup("location") < 0 then
        KSR.sl.sl_send_reply(404, "Not Found")
        return 1
    end
    KSR.tm.t_relay()
    return 1
end

-- A script as somebody has it who runs Kamailio's module msrp with KEMI, and moves here unchanged: it answers 200 before it relays, never opens a
-- connection towards a client, and keeps its sessions in a hash table (KEEPS == "table") or leaves them to the module ("cmap"). The test sets KEEPS,
-- REALM, SERVER and PASSWORDS. What one would write here is in etc/examples.
local given = 0
local on = {}

local function relay_answered()
    if KSR.pv.get("$msrp(method)") == "SEND" then
        KSR.msrp.reply(200, "OK", "")
    end
    KSR.msrp.relay()
end

local function is_authenticated()
    local password = PASSWORDS[KSR.pv.gete("$au")] or ""
    if KSR.auth.pv_www_authenticate_method(REALM, password, 0, "AUTH") > 0 then
        return true
    end
    if KSR.auth.auth_get_www_authenticate(REALM, 1, "$var(challenge)") < 0 then
        KSR.msrp.reply("500", "No challenge", "")
    else
        KSR.msrp.reply(401, "Unauthorized", KSR.pv.get("$var(challenge)"))
    end
    return false
end

local keep = {}

function keep.cmap()
    KSR.msrp.cmap_save()
end

function keep.table()
    given = given + 1
    local id = ("%d-%d-%d"):format(KSR.pv.get("$pp"), given, KSR.pv.get("$RANDOM"))
    KSR.pv.sets("$var(id)", id)
    for _, what in ipairs { "srcaddr", "srcsock" } do
        KSR.pv.sets("$sht(msrp=>$var(id)::" .. what .. ")", KSR.pv.get("$msrp(" .. what .. ")"))
    end
    KSR.pv.seti("$shtex(msrp=>$var(id))", 1805)
    KSR.msrp.reply(200, "OK", "Use-Path: " .. SERVER .. "/" .. id .. ";tcp\r\nExpires: 1800\r\n")
end

local find = {}

function find.cmap()
    return KSR.msrp.cmap_lookup() > 0
end

function find.table()
    KSR.pv.sets("$var(id)", KSR.pv.gete("$msrp(sessid)"))
    if KSR.pv.is_null("$sht(msrp=>$var(id)::srcaddr)") then
        return false
    end
    KSR.msrp.set_dst(KSR.pv.get("$sht(msrp=>$var(id)::srcaddr)"), KSR.pv.get("$sht(msrp=>$var(id)::srcsock)"))
    return true
end

function on.AUTH()
    if KSR.pv.get("$msrp(nexthops)") > 0 then
        KSR.msrp.relay()
    elseif is_authenticated() then
        keep[KEEPS]()
    end
end

function on.SEND()
    if KSR.pv.get("$msrp(nexthops)") > 1 then
        relay_answered()
    elseif find[KEEPS]() then
        KSR.msrp.relay_flags(1)
        relay_answered()
    elseif KSR.pv.get("$msrp(method)") == "SEND" then
        KSR.msrp.reply(481, "No such session", "")
    end
end

on.REPORT = on.SEND

function ksr_msrp_event(event)
    KSR.xlog.xdbg(event .. " [$si:$sp] $msrp(method) for $msrp(crthop), hops $msrp(nexthops), session $msrp(sessid)\n")
    KSR.msrp.reply_flags(1)
    if KSR.msrp.is_reply() > 0 then
        KSR.msrp.relay()
    elseif on[KSR.pv.get("$msrp(method)")] then
        on[KSR.pv.get("$msrp(method)")]()
    else
        KSR.msrp.reply(501, "Not understood", "")
    end
    return 1
end

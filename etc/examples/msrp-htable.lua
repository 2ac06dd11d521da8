-- The first example of the guide to Kamailio's module msrp, "Event Route (using htable for connection tracking)", in Lua: sessions are entries of
-- a hash table, and messages go to the addresses in it. A session that has lost its connection fails what is sent to it until its client comes back
-- for it or it expires.
--
-- It routes as tandem does without a script, but for what a table cannot know (tests/flow/msrp-htable.differs has it scenario by scenario): the name of
-- the server and the bounds of Expires are those below, not those of the configuration; sessions do not outlive the server, are not in msrp_session, and
-- tandemctl can neither show nor end them; rows of acc_msrp do not say whose session a message belongs to;
-- the old connection of one that was taken up on a new one is not closed, and a connection on which nothing passes for msrp.idle_timeout is. There are
-- no other relays before a client, nor AUTHs to one, as a script does not see certificates. msrp-cmap.lua uses sessions of the relay, which have all that.
--
--   [msrp]
--   event_callback = ksr_msrp_event
--   [script]
--   file   = /etc/tandem/msrp-htable.lua
--   htable = msrp=>size=12;autoexpire=3605

local REALM = "" -- that of the configuration
local PORT = "5061" -- in Use-Path, when a client has named none
local MIN_EXPIRES, MAX_EXPIRES, MAX_URIS = 60, 3600, 16
local PHRASES = {
    [200] = "OK", [400] = "Bad Request", [403] = "Forbidden", [408] = "Downstream transaction timed out", [481] = "Session-does-not-exist",
    [506] = "Session bound to another connection",
}

local function entry(id, key)
    return KSR.htable.sht_get("msrp", id .. "::" .. key)
end

-- A URI without what does not count when two are compared: userinfo, parameters, letters of scheme, host and transport, escapes.
local function plain(uri)
    local scheme, authority, session, transport = uri:match("^(%a+)://([^/;]+)/?([^;]*);(%w+)")
    if not scheme then
        return ""
    end
    authority = authority:gsub("^.*@", ""):gsub("%%(%x%x)", function(x) return string.char(tonumber(x, 16)) end)
    return (scheme .. "://" .. authority):lower() .. "/" .. session .. ";" .. transport:lower()
end

local function is_same(a, b)
    return a == b or plain(a) == plain(b)
end

-- Is every URI of the frame one, with a port but for that of this server in an AUTH, nothing between them but a blank, and are they not too many?
local function is_sound()
    local server = KSR.pv.get("$msrp(method)") == "AUTH" and KSR.pv.get("$msrp(nexthops)") == 0 and KSR.pv.get("$msrp(crthop)")
    for _, name in ipairs { "To-Path", "From-Path" } do
        local path, n = KSR.hdr.gete(name), 0
        for uri in path:gmatch("%S+") do
            n = n + 1
            KSR.pv.sets("$var(uri)", uri)
            if KSR.pv.is_null("$(var(uri){msrpuri.host})") or KSR.pv.get("$(var(uri){msrpuri.port})") == "" and uri ~= server then
                return false
            end
        end
        if n > MAX_URIS or path:find("  ", 1, true) then
            return false
        end
    end
    return true
end

-- Its addresses say where the client is, its number which connection it has: another one may have the same addresses later.
local function conid(id)
    return tonumber(entry(id, "conid")) or 0
end

local function is_owner(id)
    return conid(id) == KSR.pv.get("$msrp(conid)")
end

-- A table does not hear that a connection has ended.
local function is_gone(id)
    return KSR.tcpops.tcp_conid_alive(conid(id)) < 0
end

-- Seconds, without Expires the most; nothing: it was refused.
local function lifetime()
    local text = KSR.hdr.get("Expires") or tostring(MAX_EXPIRES)
    local expires = text:match("^%d+$") and tonumber(text)
    if not expires then
        KSR.msrp.reply(400, "Bad Request")
    elseif expires < MIN_EXPIRES then
        KSR.msrp.reply(423, "Interval-Out-of-Bounds", "Min-Expires: " .. MIN_EXPIRES .. "\r\n")
    elseif expires > MAX_EXPIRES then
        KSR.msrp.reply(423, "Interval-Out-of-Bounds", "Max-Expires: " .. MAX_EXPIRES .. "\r\n")
    else
        return math.tointeger(expires)
    end
end

-- Enter who has authenticated. The session-id has 124 bits that cannot be guessed.
local function save()
    local expires = lifetime()
    if not expires then
        return
    end
    local uri = KSR.pv.get("$msrp(crthop)")
    local id = KSR.pv.get("$msrp(sessid)") -- to be renewed
    if not id then
        id = ("%08x%08x%08x%08x"):format(KSR.pv.get("$RANDOM"), KSR.pv.get("$RANDOM"), KSR.pv.get("$RANDOM"), KSR.pv.get("$RANDOM"))
        if KSR.pv.get("$(msrp(crthop){msrpuri.port})") == "" then
            uri = uri:gsub(";", ":" .. PORT .. ";", 1)
        end
        uri = uri:gsub("//.*@", "//"):gsub(";.*", "/" .. id .. ";tcp")
    end
    local what = {
        user = KSR.pv.get("$au"),
        srcaddr = KSR.pv.get("$msrp(srcaddr)"), srcsock = KSR.pv.get("$msrp(srcsock)"), conid = KSR.pv.get("$msrp(conid)"),
        client = KSR.pv.get("$msrp(prevhop)"), uri = uri,
    }
    for key, value in pairs(what) do
        if KSR.htable.sht_setxs("msrp", id .. "::" .. key, value, expires) < 0 then
            return KSR.msrp.reply(403, "Forbidden") -- the table is full
        end
    end
    KSR.msrp.reply(200, "OK", "Use-Path: " .. uri .. "\r\nExpires: " .. expires .. "\r\n" .. KSR.auth.auth_info())
end

-- An AUTH for this server.
local function auth()
    local id = KSR.pv.get("$msrp(sessid)") -- to be renewed, or taken up on another connection
    local user = id and entry(id, "user")
    if id and not (user and is_same(entry(id, "uri"), KSR.pv.get("$msrp(crthop)"))) then
        return KSR.msrp.reply(481, "Session-does-not-exist")
    end
    local rc = KSR.auth_db.www_authenticate(REALM, "subscriber")
    if rc > 0 and user and not (user == KSR.pv.get("$au") and is_same(entry(id, "client"), KSR.pv.get("$msrp(prevhop)"))) then
        KSR.msrp.reply(403, "Forbidden")
    elseif rc > 0 then
        save()
    elseif rc == -1 then
        KSR.msrp.reply(400, "Bad Request")
    elseif rc == -3 then
        KSR.msrp.reply(403, "Forbidden")
    elseif rc == -6 then
        KSR.msrp.reply(408, "Authentication Timeout")
    elseif KSR.auth.auth_get_www_authenticate(REALM, 1, "$var(wauth)") > 0 then
        KSR.msrp.reply(401, "Unauthorized", KSR.pv.gete("$var(wauth)"))
    end
end

-- Is the next hop this server, too, by the name that the sender has for it?
local function is_us()
    local function server(name)
        return plain(KSR.pv.gete(name)):match("^.-//[^/]*")
    end
    return server("$msrp(nexthop)") == server("$msrp(crthop)")
end

-- To-Path, from its index-th URI on.
local function path_from(index)
    local path = KSR.hdr.get("To-Path")
    for _ = 1, index do
        path = path:match(" (.*)$") or ""
    end
    return path
end

-- To the client of that session, whose URI must come next and be the last.
local function to_client(id, path)
    local client = entry(id, "client")
    if not client then
        return 481
    elseif is_gone(id) then
        return 408
    elseif path:find(" ", 1, true) or not is_same(path, client) then
        return 403
    end
    KSR.msrp.relay_flags(1)
    KSR.msrp.set_dst(entry(id, "srcaddr"), entry(id, "srcsock"))
    return 200
end

-- From somebody else, who is to be found by the connection that this comes from.
local function inward(id)
    local rc = KSR.pv.get("$msrp(prevhops)") == 1 and to_client(id, path_from(1)) or 403
    local known, mine = KSR.pv.get("$sht(msrp=>" .. id .. "::conid::$msrp(prevhop))"), KSR.pv.get("$msrp(conid)")
    if rc == 200 and known and known ~= mine and KSR.tcpops.tcp_conid_alive(known) > 0 then
        rc = 506
    elseif rc == 200 then
        KSR.pv.sets("$sht(msrp=>" .. id .. "::addr::$msrp(prevhop))", KSR.pv.get("$msrp(srcaddr)"))
        KSR.pv.sets("$sht(msrp=>" .. id .. "::sock::$msrp(prevhop))", KSR.pv.get("$msrp(srcsock)"))
        KSR.pv.seti("$sht(msrp=>" .. id .. "::conid::$msrp(prevhop))", mine)
        rc = KSR.msrp.relay() > 0 and 200 or 408
    end
    return rc
end

-- From the client of this session to one of another, and whom a REPORT comes from.
local function across(id)
    local other = KSR.pv.gete("$(msrp(nexthop){msrpuri.session})")
    local rc = other == id and 403 or to_client(other, path_from(2)) -- not twice through the same
    if rc == 200 then
        local from = KSR.pv.get("$msrp(nexthop)") .. " " .. KSR.pv.get("$msrp(crthop)") .. " " .. KSR.hdr.get("From-Path")
        rc = KSR.msrp.forward(path_from(2), from) > 0 and 200 or 408
    end
    return rc, KSR.pv.get("$msrp(crthop)") .. " " .. KSR.pv.get("$msrp(nexthop)")
end

local function is_secure(name)
    return KSR.pv.gete(name):lower():find("^msrps:") ~= nil
end

-- From the client of this session to somebody outside: by the connection that they have made, or a new one. Another relay is reached over TLS.
local function outward(id)
    local next = KSR.pv.get("$msrp(nexthop)")
    if KSR.pv.get("$msrp(nexthops)") > 1 and is_secure("$msrp(crthop)") and not is_secure("$msrp(nexthop)") then
        return 403
    end
    local addr, sock = entry(id, "addr::" .. next), entry(id, "sock::" .. next)
    KSR.msrp.relay_flags(1)
    if addr and KSR.msrp.set_dst(addr, sock) > 0 and KSR.msrp.relay() > 0 then
        return 200
    end
    KSR.msrp.relay_flags(0)
    if KSR.msrp.set_dst(next) < 0 then
        return 400
    end
    if not is_secure("$msrp(nexthop)") then
        KSR.pv.seti("$sht(msrp=>" .. id .. "::clear::$msrp(nexthop))", 1) -- and answers in the clear
    end
    return KSR.msrp.relay() > 0 and 200 or 403
end

-- Send a request on: 200, or the status to refuse with; nothing: it is for another server.
local function pass(id)
    local uri, client = entry(id, "uri"), entry(id, "client")
    if not client or not is_same(uri, KSR.pv.get("$msrp(crthop)")) then
        return KSR.msrp.cmap_lookup() ~= -1 and 481 or nil -- which is asked whose name that is; sessions of the relay there are none
    elseif is_secure("$msrp(crthop)") and KSR.pv.get("$proto") ~= "tls" and not entry(id, "clear::" .. KSR.pv.get("$msrp(prevhop)")) then
        return 403
    elseif is_gone(id) then
        return 408
    elseif not is_owner(id) or not is_same(KSR.pv.get("$msrp(prevhop)"), client) then
        return inward(id)
    elseif is_us() then
        return across(id)
    end
    return outward(id)
end

function ksr_msrp_event(evname)
    if KSR.msrp.is_reply() > 0 then
        KSR.msrp.relay()
        return 1
    end

    local method = KSR.pv.get("$msrp(method)")
    if not is_sound() then
        if method == "AUTH" or KSR.msrp.cmap_lookup() ~= -1 then
            KSR.msrp.reply(400, PHRASES[400])
        end
    elseif KSR.pv.get("$msrp(nexthops)") > 0 then
        local rc, far = pass(KSR.pv.gete("$msrp(sessid)"))
        if rc == 408 and method ~= "AUTH" then -- no response says that: a SEND is taken, and has failed
            if method == "SEND" then
                KSR.msrp.reply(200, "OK")
                KSR.msrp.report(408, far)
            end
        elseif rc and (rc ~= 200 or method == "SEND") then
            KSR.msrp.reply(rc, PHRASES[rc]) -- not to a REPORT; other methods are answered by the other end
        end
    elseif method == "AUTH" then
        auth()
    elseif method == "SEND" then
        -- without a body it keeps the connection open
        local rc = not KSR.pv.get("$msrp(body)") and is_owner(KSR.pv.gete("$msrp(sessid)")) and 200 or 481
        if rc == 200 or KSR.msrp.cmap_lookup() ~= -1 then
            KSR.msrp.reply(rc, PHRASES[rc])
        end
    else
        KSR.msrp.reply(501, "Request-method-not-understood")
    end
    return 1
end

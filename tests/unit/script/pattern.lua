-- What string.find, match, gmatch and gsub do: it runs through in Lua 5.4 itself as in a script (test_pattern.c).
local function same(want, ...) local got = {} for i = 1, select("#", ...) do got[i] = tostring((select(i, ...))) end got = table.concat(got, " ") assert(got == want, got .. " ~= " .. want) end
local function fails(what, f, ...) local good, why = pcall(f, ...) assert(not good and why:find(what, 1, true), why) end
same("nil", ("abc"):find("d")) same("2 3", ("abc"):find("bc")) same("1 0", ("abc"):find("")) same("4 3", ("abc"):find("", 4)) same("nil", ("abc"):find("", 5))
same("3 3", ("a.b.c"):find("b", -3)) same("2 2", ("a.b"):find(".", 2, true)) same("1 1", ("a.b"):find(".")) same("2 4 b d", ("abcd"):find("(b)c(d)"))
same("b", ("abc"):match("^a(.)")) same("nil", ("abc"):match("^b")) same("2 b", ("abc"):match("()(b)")) same("abc", ("abc"):match(".*")) same("", ("abc"):match(".-"))
same("abc", ("abc"):match("^.-$")) same("aab", ("aab"):match("a?ab")) same("x]", ("x]y"):match("[]x]+")) same("y", ("x]y"):match("[^]x]")) same("a-", ("ba-c"):match("[a%-]+"))
same("-z", ("a-z"):match("[-z]+")) same("09af", ("xx09afz"):match("%x+")) same("THE", ("THE (quick) fox"):match("%f[%a]%a+%f[%A]")) same("(a(b)c)", ("x(a(b)c)d)"):match("%b()"))
same("nil", ("(a"):match("%b()")) same("abab", ("xababy"):match("(ab)%1") .. "ab") same("\0b", ("a\0b"):match("%z?\0?b")) same("é", ("é"):match("[\xc3][\x80-\xff]"))
same("$", ("a$b"):match("%$")) same("$b", ("a$b"):match("$b")) same("hello", ("hello"):match("hello$"))
same("<a>b<a> 2", ("aba"):gsub("a", "<%0>")) same("ba 1", ("ab"):gsub("(a)(b)", "%2%1")) same("a%b 1", ("ab"):gsub("b", "%%%0")) same("-a-b- 3", ("ab"):gsub("", "-"))
same("xbxb 2", ("abab"):gsub("a", { a = "x" })) same("abab 2", ("abab"):gsub("a", function() end)) same("1b2b 2", ("abab"):gsub("()a", function(i) return (i + 1) // 2 end))
same("xbab 1", ("abab"):gsub("a", "x", 1)) same("xaa 1", ("aaa"):gsub("^a", "x")) same("abab 0", ("abab"):gsub("a", "x", -1)) same("5a 1", ("ba"):gsub("b", 5))
local t = {} for k, v in ("a=1, b=2"):gmatch("(%w+)=(%w+)") do t[#t + 1] = k .. v end same("a1 b2", table.unpack(t))
t = {} for w in ("^a^b"):gmatch("^%a") do t[#t + 1] = w end same("^a ^b", table.unpack(t)) t = {} for p in ("ab"):gmatch("()") do t[#t + 1] = p end same("1 2 3", table.unpack(t))
t = {} for w in ("one two"):gmatch("%a+", 3) do t[#t + 1] = w end same("e two", table.unpack(t)) for _ in ("a"):gmatch("a", 9) do error("none") end
fails("ends with '%'", string.find, "a", "%") fails("missing ']'", string.find, "a", "[a") fails("missing ']'", string.find, "a", "[a%") fails("unfinished capture", string.find, "a", "(a")
fails("invalid pattern capture", string.find, "a", "a.?)") fails("invalid capture index", string.find, "a", "%1") fails("invalid capture index %2", string.gsub, "a", "(a)", "%2")
fails("missing '[' after '%f'", string.find, "a", "%fa") fails("missing arguments to '%b'", string.find, "a", "%b") fails("invalid use of '%'", string.gsub, "a", "a", "%x")
fails("too many captures", string.find, ("a"):rep(40), ("(a)"):rep(33)) fails("invalid replacement value", string.gsub, "a", "a", function() return {} end)
fails("pattern too complex", string.find, ("a"):rep(300), ("(a?)"):rep(30) .. ("a?"):rep(300)) fails("expected", string.gsub, "a", "a") fails("expected", string.find, {}, "a")

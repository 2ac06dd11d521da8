/* What a script may use of Lua's own libraries: SANDBOX(library, names). The empty library is that of global functions; pcall,
 * setmetatable and what matches patterns are ours (sandbox.c). What is not named here does not exist for a script: files, processes, modules, other
 * code (load, require, dofile), coroutines, debug. */
SANDBOX("", "assert error ipairs next pairs pcall rawequal rawget rawlen rawset select setmetatable getmetatable tonumber tostring type _G _VERSION")
SANDBOX("string", "byte char find format gmatch gsub len lower match pack rep reverse sub unpack upper")
SANDBOX("table", "concat insert pack remove sort unpack")
SANDBOX("math", "abs ceil floor fmod huge max maxinteger min mininteger pi random sqrt tointeger type ult")
SANDBOX("utf8", "char charpattern codepoint len offset")
SANDBOX("os", "clock date difftime time")

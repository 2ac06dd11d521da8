/* Every RPC method: RPC(name, function, parameters, sentence).
 *
 * Parameters may be given by name or in this order; [x] may be left out. The
 * dispatcher, core.methods and tandemctl(8) come from here. */
RPC("core.version", core_version, "", "The server's version.")
RPC("core.methods", core_methods, "", "The names of all methods, with parameters and meaning.")
RPC("core.connections", core_connections, "[limit]", "Open connections.")
RPC("core.reload", core_reload, "", "Read the configuration again; names the keys that changed and those that wait for a restart.")
RPC("core.ban", core_ban, "action [address] [seconds]", "action list, add or del: sources that are shut out.")
RPC("auth.flush", auth_flush, "[username] [domain]", "Forget cached credentials, of one user or all.")
RPC("msrp.cmaplist", msrp_cmaplist, "[limit]", "The session table, under Kamailio's names.")
RPC("msrp.sessions", msrp_sessions, "[limit]", "Live MSRP sessions, under the names of the msrp_session table.")
RPC("msrp.kick", msrp_kick, "session_id", "End a session.")
RPC("stats.get", stats_get_all, "[name]", "All counters, or one.")
RPC("ul.dump", ul_dump, "[limit]", "Registrations, under Kamailio's names.")

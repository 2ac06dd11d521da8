/* Variables that every script has: PV(class, key, kind, get, set, parameter, sentence). key NULL: any text between the
 * parentheses, which the manual calls by its parameter. One row, one line. */
PV(var, NULL, ANY, core_get_var, core_set_var, "NAME", "A variable of the script: kept from event to event, one for each worker, 0 until it is set.")
PV(vn, NULL, ANY, core_get_vn, core_set_var, "NAME", "The same, null until it is set.")
PV(sht, NULL, ANY, core_get_sht, core_set_sht, "TABLE=>KEY", "An entry of a hash table; null removes it. The key may hold variables.")
PV(shtex, NULL, ANY, core_get_shtex, core_set_shtex, "TABLE=>KEY", "Seconds an entry has left to live; may be set.")
PV(dbr, NULL, ANY, core_get_dbr, NULL, "RESULT=>KEY", "What KSR.sqlops.sql_query has brought: rows and cols, their numbers; [ROW,COLUMN], a value, counted from 0; colname[N], the name of a column. Null when there is none.")
PV(xavp, NULL, ANY, core_get_xavp, core_set_xavp, "RESULT=>COLUMN", "The value in the column of that name in the first row of a result, or in another one, as in $xavp(r[1]=>domain). Cannot be set.")
PV(null, "", ANY, core_get_null, NULL, "", "Null.")
PV(TS, "", ANY, core_get_time, NULL, "", "UNIX time in seconds.")
PV(RANDOM, "", ANY, core_get_random, NULL, "", "A number from 0 to 2147483647 that cannot be guessed.")
PV(pp, "", ANY, core_get_pid, NULL, "", "Process number of the server.")

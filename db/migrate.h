/* The tables, and how an older file becomes a present one. */
#pragma once

#include <sqlite3.h>

#include "common/buf.h"

/* Run the migrations that the file has not had (PRAGMA user_version tells), in one transaction. Tables that
 * Kamailio made are adopted: they get the columns they lack and keep their rows. */
int db_migrate(sqlite3 *h, struct buf *why);

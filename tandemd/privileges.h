/* Giving up root after the ports are bound. */
#pragma once

/* Become the user, if one is named: the folders of the database and the control socket are made for it before. Logs what went wrong. */
int privileges_drop(const char *user, const char *database, const char *control);

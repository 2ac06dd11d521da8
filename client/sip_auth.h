/* Digest with SHA-256 for Sofia's clients: 1.12 knows MD5 alone and gives up on a
 * server that offers both. */
#pragma once

/* Put ours in the place of Sofia's own; once per process, before any challenge. */
int sip_auth_install(const char *password); /* borrowed: for every challenge of this process */

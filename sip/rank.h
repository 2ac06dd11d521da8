/* Which of several failures is the one to pass up? RFC 3261 s.16.7 item 6. */
#pragma once

/* Smaller is better; the classes are a thousand apart. */
int status_rank(int status);

/* Sofia's phrase, or that of a status it does not know. */
const char *phrase_of_status(int status);

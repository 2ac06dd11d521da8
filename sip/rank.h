/* Which of several failures is the one to pass up? RFC 3261 s.16.7 item 6. */
#pragma once

/* Smaller is better; the classes are a thousand apart. */
int status_rank(int status);

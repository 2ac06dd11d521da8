/* A hook of Sofia's that no header declares. */
#include "sip/clock.h"

#include "sip/sofia.h"

/* Called by su_time() with the time it has read. */
extern void (*_su_time)(su_time_t *t);

static void cut_off(su_time_t *t)
{
    t->tv_usec -= t->tv_usec % 1000;
}

void clock_whole_milliseconds(void)
{
    _su_time = cut_off;
}

/* Sofia's clock, which the whole SIP process goes by.
 *
 * Sofia's loop waits for a timer in whole milliseconds, cut off: in a timer's last one it asks again and again without
 * waiting, some hundred times. With a clock of whole milliseconds nothing is cut off, and the loop sleeps. */
#pragma once

/* From now on, for every root of the process. */
void clock_whole_milliseconds(void);

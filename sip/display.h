/* From, To and Contact whose display name is of another alphabet and not in quotes, as some phones have it.
 *
 * RFC 3261 s.25.1 wants quotes there, which Sofia insists on; it is as clear without, and not the proxy's to refuse (net/sipcheck has seen that nothing is in
 * it but words and such octets). */
#pragma once

#include <sofia-sip/msg_types.h>

/* The header class to be used instead of Sofia's, which it is but for its parser. */
msg_hclass_t *display_from_class(void);
msg_hclass_t *display_to_class(void);
msg_hclass_t *display_contact_class(void);

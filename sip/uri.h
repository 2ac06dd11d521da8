/* Are two URIs the same? RFC 3261 s.19.1.4. */
#pragma once

#include "common/defs.h"
#include "sip/sofia.h"

/* Of URIs as Sofia parses them, which unescapes what needs no escape. */
bool uri_eq(const url_t *a, const url_t *b);

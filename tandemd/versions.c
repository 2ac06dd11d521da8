/* Versions of tandem and of the libraries it runs with. */
#include "tandemd/versions.h"

#include "config.h"

#include <stdio.h>

#include "common/crypto.h"
#include "ctl/rpc.h"
#include "db/db.h"
#include "net/resolve.h"
#include "sip/process.h"

void versions_print(void)
{
    printf("tandem %s\n", PACKAGE_VERSION);
    printf("sofia-sip %s\n", sip_process_library_version());
    printf("gnutls %s\n", crypto_library_version());
    printf("sqlite %s\n", db_library_version());
    printf("c-ares %s\n", resolver_library_version());
    printf("jansson %s\n", rpc_library_version());
}

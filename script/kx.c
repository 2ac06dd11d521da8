/* KSR.kx: variables as functions, and what functions whose name says so return for null. */
#include <string.h>

#include "script/core.h"

void script_otherwise(struct script_call *c)
{
    const char *name = c->func->name, *get;

    if (c->result.type != SCRIPT_NULL || strcmp(name, "get") == 0) /* most often */
        return;
    get = strstr(name, "get");
    if (!get)
        return;
    if (get[3] == 'e')
        script_set_str(&c->result, SV(""));
    else if (get[3] == 'w')
        script_set_str(&c->result, SV("<<null>>"));
    else if (get[3] == 'z')
        script_set_int(&c->result, 0);
}

void script_kx_get(struct script_call *c)
{
    static const struct {
        const char *name, *var;
    } names[] = {
        { "ruri", "$ru" },    { "ruser", "$rU" },  { "rhost", "$rd" },   { "furi", "$fu" },    { "fuser", "$fU" },     { "fhost", "$fd" },
        { "turi", "$tu" },    { "tuser", "$tU" },  { "thost", "$td" },   { "callid", "$ci" },  { "ua", "$ua" },        { "duri", "$du" },
        { "au", "$au" },      { "ad", "$ar" },     { "method", "$rm" },  { "status", "$rs" },  { "body", "$rb" },      { "proto", "$proto" },
        { "srcip", "$si" },   { "srcport", "$sp" }, { "rcvip", "$Ri" },  { "rcvport", "$Rp" }, { "conid", "$msrp(conid)" },
    };
    const char *name = strchr(c->func->name, '_') + 1;

    for (size_t i = 0; i < TD_ARRAY_LEN(names); i++)
        if (strcmp(names[i].name, name) == 0) {
            const struct pv *p = pv_of(c->script, sv_of(names[i].var), &c->fault);

            if (p)
                pv_get(p, c, &c->result);
        }
    script_otherwise(c);
}

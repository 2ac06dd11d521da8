/* The callbacks behind func_tbl.h, var_tbl.h and trans_tbl.h. */
#pragma once

#include "script/private.h"

#define KSR_FN(module, name, kind, args, params, fn, text) void fn(struct script_call *c);
#include "script/func_tbl.h"
#undef KSR_FN

void core_get_var(struct script_call *c, const struct script_name *name, struct script_value *out);
void core_get_vn(struct script_call *c, const struct script_name *name, struct script_value *out);
bool core_set_var(struct script_call *c, const struct script_name *name, const struct script_value *v);
void core_get_sht(struct script_call *c, const struct script_name *name, struct script_value *out);
bool core_set_sht(struct script_call *c, const struct script_name *name, const struct script_value *v);
void core_get_shtex(struct script_call *c, const struct script_name *name, struct script_value *out);
bool core_set_shtex(struct script_call *c, const struct script_name *name, const struct script_value *v);
void core_get_dbr(struct script_call *c, const struct script_name *name, struct script_value *out);
void core_get_xavp(struct script_call *c, const struct script_name *name, struct script_value *out);
bool core_set_xavp(struct script_call *c, const struct script_name *name, const struct script_value *v);
void core_get_null(struct script_call *c, const struct script_name *name, struct script_value *out);
void core_get_time(struct script_call *c, const struct script_name *name, struct script_value *out);
void core_get_random(struct script_call *c, const struct script_name *name, struct script_value *out);
void core_get_pid(struct script_call *c, const struct script_name *name, struct script_value *out);

#define TRANS(class_, name, n, fn, params, text) bool fn(struct script_call *c, struct script_value *v, const struct sv *p);
#include "script/trans_tbl.h"
#undef TRANS

/* Let go of all $var(). */
void core_vars_free(struct script *s);

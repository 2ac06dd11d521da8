noinst_LIBRARIES += libscript.a
libscript_a_SOURCES = \
	script/budget.c \
	script/core.c script/core.h \
	script/func_tbl.h \
	script/htable.c script/htable.h \
	script/kx.c \
	script/pattern.c script/pattern.h \
	script/private.h \
	script/pv.c \
	script/sandbox.c script/sandbox_tbl.h \
	script/scan.c \
	script/script.h \
	script/shared.c \
	script/sql.c \
	script/state.c \
	script/text.c \
	script/trans.c script/trans_tbl.h \
	script/var_tbl.h
SCRIPT_LIBS = libscript.a $(DB_LIBS) $(LUA_LIBS)

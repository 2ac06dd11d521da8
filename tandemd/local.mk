noinst_LIBRARIES += libtandemd.a
libtandemd_a_SOURCES = tandemd/sipproc.c tandemd/sipproc.h

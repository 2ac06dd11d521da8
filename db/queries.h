/* The thread that answers the queries of scripts (db/query.h). */
#pragma once

struct queries;

/* Answers what was asked, frees. */
void queries_stop(struct queries **q);

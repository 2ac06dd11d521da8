/* The reader: a thread that looks things up for threads that must not block. */
#pragma once

struct db;
struct mailbox;
struct reader;

int reader_start(struct reader **out, struct db *db);
/* Answers what was asked, frees. */
void reader_stop(struct reader **r);

struct mailbox *reader_mailbox(struct reader *r);

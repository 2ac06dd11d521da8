/* Taking such a name off before Sofia's parser sees the rest. */
#include "sip/display.h"

#include <sofia-sip/sip_header.h>
#include <string.h>

#include "common/defs.h"

/* Where '<' is behind a bare name with octets that are no ASCII; NULL: it is a usual one, or there is none. */
static char *end_of_name(char *s)
{
    bool is_foreign = false;

    for (; *s && *s != '<' && *s != '"'; s++)
        is_foreign = is_foreign || (unsigned char)*s >= 0x80;
    return is_foreign && *s == '<' ? s : NULL;
}

static issize_t addr_d(const msg_hclass_t *theirs, su_home_t *home, msg_header_t *h, char *s, isize_t n)
{
    char *end = end_of_name(s), *blanks = end;
    issize_t ret;

    if (!end)
        return theirs->hc_parse(home, h, s, n);
    ret = theirs->hc_parse(home, h, end, n - (end - s));
    while (blanks > s && strchr(" \t\r\n", blanks[-1]))
        blanks--;
    if (ret >= 0 && blanks < end) { /* else there is no room for its NUL, and it is in the header's text alone */
        *blanks = '\0';
        ((sip_addr_t *)h)->a_display = s;
    }
    return ret;
}

static issize_t from_d(su_home_t *home, msg_header_t *h, char *s, isize_t n)
{
    return addr_d(sip_from_class, home, h, s, n);
}

static issize_t to_d(su_home_t *home, msg_header_t *h, char *s, isize_t n)
{
    return addr_d(sip_to_class, home, h, s, n);
}

static char *end_of_quoted(char *s)
{
    while (*++s && *s != '"')
        if (*s == '\\' && s[1])
            s++;
    return s;
}

/* Of each contact in the list. The header goes on as it came: this is Sofia's copy of its text. */
static void blank_names(char *s)
{
    char *begin = s;
    bool is_foreign = false;

    for (; *s; s++) {
        if (*s == '"') {
            s = end_of_quoted(s);
        } else if (*s == '<') {
            if (is_foreign)
                memset(begin, ' ', (size_t)(s - begin));
            is_foreign = false;
            s += strcspn(s, ">");
        } else if (*s == ',') {
            begin = s + 1;
            is_foreign = false;
        } else {
            is_foreign = is_foreign || (unsigned char)*s >= 0x80;
        }
        if (!*s)
            return;
    }
}

static issize_t contact_d(su_home_t *home, msg_header_t *h, char *s, isize_t n)
{
    blank_names(s);
    return sip_contact_class->hc_parse(home, h, s, n);
}

static msg_hclass_t *like(struct msg_hclass_s *ours, const msg_hclass_t *theirs, msg_parse_f *parse)
{
    memcpy(ours, theirs, sizeof *ours);
    ours->hc_parse = parse;
    return ours;
}

msg_hclass_t *display_from_class(void)
{
    static struct msg_hclass_s from_class[1];

    return like(from_class, sip_from_class, from_d);
}

msg_hclass_t *display_to_class(void)
{
    static struct msg_hclass_s to_class[1];

    return like(to_class, sip_to_class, to_d);
}

msg_hclass_t *display_contact_class(void)
{
    static struct msg_hclass_s contact_class[1];

    return like(contact_class, sip_contact_class, contact_d);
}

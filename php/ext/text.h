/* A string that grows at its end. Not PHP's smart_str: its inline code calls a function
 * that PHP 8.2.36 has and 8.2.32 has not, and one file has to load in both. */
#ifndef RR_TEXT_H
#define RR_TEXT_H

#include "php.h"

typedef struct {
	zend_string *s; /* NULL: empty */
	size_t room;
} rr_text;

static inline void text_append(rr_text *t, const char *s, size_t length)
{
	size_t used = t->s == NULL ? 0 : ZSTR_LEN(t->s), need = used + length;

	if (t->s == NULL) {
		t->room = need < 232 ? 232 : need;
		t->s = zend_string_alloc(t->room, 0);
	} else if (need > t->room) {
		t->room = 2 * need;
		t->s = erealloc(t->s, ZEND_MM_ALIGNED_SIZE(_ZSTR_STRUCT_SIZE(t->room)));
	}
	memcpy(ZSTR_VAL(t->s) + used, s, length);
	ZSTR_LEN(t->s) = need;
}

#define text_literal(t, s) text_append(t, s, sizeof(s) - 1)

static inline void text_char(rr_text *t, char c)
{
	text_append(t, &c, 1);
}

static inline void text_long(rr_text *t, zend_long n)
{
	char digits[MAX_LENGTH_OF_LONG + 1], *end = digits + sizeof(digits) - 1, *s = zend_print_long_to_buf(end, n);

	text_append(t, s, (size_t) (end - s));
}

/* The string, which the caller owns. Something was appended before. */
static inline zend_string *text_take(rr_text *t)
{
	ZSTR_VAL(t->s)[ZSTR_LEN(t->s)] = '\0';
	return t->s;
}

static inline void text_free(rr_text *t)
{
	if (t->s != NULL) {
		zend_string_efree(t->s);
	}
}

#endif

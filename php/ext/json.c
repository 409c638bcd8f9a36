/* The context of an HTTP request in JSON. Only what the daemon usually sends is read
 * here: see request.h. */
#include "php_rr.h"
#include "request.h"

/* Objects and arrays in each other; uploads have a few. */
#define RR_DEPTH 32

typedef struct {
	const unsigned char *p, *end;
	int depth;
	/* Texts with escapes are put together here. */
	char *text;
	size_t room;
} json;

static bool json_value(json *j, zval *v);

static inline void space(json *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t')) {
		j->p++;
	}
}

static inline bool take(json *j, unsigned char c)
{
	space(j);
	if (j->p == j->end || *j->p != c) {
		return false;
	}
	j->p++;
	return true;
}

/* The length of the UTF-8 sequence at p, 0 if it is none. */
static int utf8(const unsigned char *p, const unsigned char *end)
{
	size_t left = (size_t) (end - p);
#define TAIL(i) ((p[i] & 0xc0) == 0x80)

	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		return left >= 2 && TAIL(1) ? 2 : 0;
	}
	if (p[0] >= 0xe0 && p[0] <= 0xef) {
		if (left < 3 || !TAIL(1) || !TAIL(2) || (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)) {
			return 0;
		}
		return 3;
	}
	if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		if (left < 4 || !TAIL(1) || !TAIL(2) || !TAIL(3) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) {
			return 0;
		}
		return 4;
	}
	return 0;
#undef TAIL
}

static int hex(unsigned char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One escape behind the backslash; writes at most 3 bytes to out, returns their
 * number, 0 for what is left to PHP (surrogates, errors). */
static int escape(json *j, char *out)
{
	unsigned int code = 0;

	if (j->p == j->end) {
		return 0;
	}
	switch (*j->p++) {
		case '"': *out = '"'; return 1;
		case '\\': *out = '\\'; return 1;
		case '/': *out = '/'; return 1;
		case 'b': *out = '\b'; return 1;
		case 'f': *out = '\f'; return 1;
		case 'n': *out = '\n'; return 1;
		case 'r': *out = '\r'; return 1;
		case 't': *out = '\t'; return 1;
		case 'u': break;
		default: return 0;
	}
	if (j->end - j->p < 4) {
		return 0;
	}
	for (int i = 0; i < 4; i++) {
		int digit = hex(*j->p++);
		if (digit < 0) {
			return 0;
		}
		code = code << 4 | (unsigned int) digit;
	}
	if (code < 0x80) {
		*out = (char) code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char) (0xc0 | code >> 6);
		out[1] = (char) (0x80 | (code & 0x3f));
		return 2;
	}
	if (code >= 0xd800 && code <= 0xdfff) {
		return 0;
	}
	out[0] = (char) (0xe0 | code >> 12);
	out[1] = (char) (0x80 | (code >> 6 & 0x3f));
	out[2] = (char) (0x80 | (code & 0x3f));
	return 3;
}

/* The string behind its first quote. */
static zend_string *json_string(json *j, bool lookup)
{
	const unsigned char *start = j->p;
	size_t length = 0; /* bytes in j->text; start is what follows them */
	bool escaped = false;

	while (j->p < j->end) {
		unsigned char c = *j->p;

		if (c == '"') {
			size_t plain = (size_t) (j->p++ - start);

			if (!escaped) {
				return rr_string((const char *) start, plain, lookup);
			}
			memcpy(j->text + length, start, plain);
			return rr_string(j->text, length + plain, lookup);
		}
		if (c < ' ') {
			return NULL;
		}
		if (c == '\\') {
			int n;

			if (!escaped) {
				/* An escape is never shorter than what it stands for, so the rest of the document is enough. */
				size_t need = (size_t) (j->end - start);
				if (need > j->room) {
					j->text = erealloc(j->text, need);
					j->room = need;
				}
				escaped = true;
			}
			memcpy(j->text + length, start, (size_t) (j->p - start));
			length += (size_t) (j->p++ - start);
			if ((n = escape(j, j->text + length)) == 0) {
				return NULL;
			}
			length += (size_t) n;
			start = j->p;
			continue;
		}
		if (c < 0x80) {
			j->p++;
			continue;
		}
		int n = utf8(j->p, j->end);
		if (n == 0) {
			return NULL;
		}
		j->p += n;
	}
	return NULL;
}

static bool json_object(json *j, zval *v)
{
	if (take(j, '}')) {
		ZVAL_EMPTY_ARRAY(v);
		return true;
	}
	array_init(v);
	do {
		zend_string *name;
		zval item;

		if (!take(j, '"') || (name = json_string(j, true)) == NULL) {
			return false;
		}
		if (!take(j, ':') || !json_value(j, &item)) {
			zend_string_release(name);
			return false;
		}
		rr_set(Z_ARRVAL_P(v), name, &item);
	} while (take(j, ','));
	return take(j, '}');
}

static bool json_array(json *j, zval *v)
{
	if (take(j, ']')) {
		ZVAL_EMPTY_ARRAY(v);
		return true;
	}
	/* Nearly always one value of a header. */
	array_init_size(v, 1);
	zend_hash_real_init_packed(Z_ARRVAL_P(v));
	do {
		zval item;

		if (!json_value(j, &item)) {
			return false;
		}
		zend_hash_next_index_insert_new(Z_ARRVAL_P(v), &item);
	} while (take(j, ','));
	return take(j, ']');
}

static bool json_word(json *j, const char *word)
{
	size_t n = strlen(word);

	if ((size_t) (j->end - j->p) < n || memcmp(j->p, word, n) != 0) {
		return false;
	}
	j->p += n;
	return true;
}

/* A whole number of at most 18 digits. */
static bool json_number(json *j, zval *v)
{
	const unsigned char *start = j->p;
	zend_long n = 0;

	while (j->p < j->end && *j->p >= '0' && *j->p <= '9') {
		n = n * 10 + (*j->p++ - '0');
		if (j->p - start > (SIZEOF_ZEND_LONG == 8 ? 18 : 9)) {
			return false;
		}
	}
	if (j->p == start || (*start == '0' && j->p - start > 1)) {
		return false;
	}
	if (j->p < j->end && (*j->p == '.' || *j->p == 'e' || *j->p == 'E')) {
		return false;
	}
	ZVAL_LONG(v, n);
	return true;
}

/* With false v is null and owns nothing. */
static bool json_value(json *j, zval *v)
{
	bool ok = false;

	ZVAL_NULL(v);
	space(j);
	if (j->p == j->end) {
		return false;
	}
	switch (*j->p) {
		case '"': {
			zend_string *s;
			j->p++;
			if ((s = json_string(j, j->depth <= 1)) != NULL) {
				ZVAL_STR(v, s);
				ok = true;
			}
			break;
		}
		case '{':
		case '[':
			if (++j->depth > RR_DEPTH) {
				return false;
			}
			ok = *j->p++ == '{' ? json_object(j, v) : json_array(j, v);
			j->depth--;
			break;
		case 't':
			ok = json_word(j, "true");
			ZVAL_TRUE(v);
			break;
		case 'f':
			ok = json_word(j, "false");
			ZVAL_FALSE(v);
			break;
		case 'n':
			return json_word(j, "null");
		default:
			ok = json_number(j, v);
	}
	if (!ok) {
		zval_ptr_dtor_nogc(v);
		ZVAL_NULL(v);
	}
	return ok;
}

bool rr_decode_json(const char *context, size_t length, zval *return_value)
{
	json j = {(const unsigned char *) context, (const unsigned char *) context + length, 0, NULL, 0};
	bool ok = json_value(&j, return_value);

	space(&j);
	if (ok && (j.p != j.end || Z_TYPE_P(return_value) != IS_ARRAY)) {
		zval_ptr_dtor_nogc(return_value);
		ok = false;
	}
	if (!ok) {
		ZVAL_NULL(return_value);
	}
	if (j.text != NULL) {
		efree(j.text);
	}
	return ok;
}

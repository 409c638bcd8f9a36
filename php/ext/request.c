/* The context of an HTTP request, from JSON or protobuf to the array that
 * RR\Http\Codec::request() returns. Only what the daemon usually sends is read
 * here: whatever is out of the ordinary is refused, and PHP's own json_decode()
 * or RR\Http\Proto reads it from the beginning. So there is one place where the
 * rare cases and the errors are decided. */
#include "php_rr.h"

/* Objects and arrays in each other; uploads have a few. */
#define RR_DEPTH 32

/* Names that get no memory of their own. The table is an open hash of a size that
 * leaves most chains empty; it is filled once and read afterwards. */
static const char *const common[] = {
	"remoteAddr", "protocol", "method", "uri", "headers", "cookies", "rawQuery", "parsed", "uploads", "attributes", "ipAddress",
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Authorization", "Baggage", "Cache-Control", "Cdn-Loop",
	"Cf-Connecting-Ip", "Cf-Ipcountry", "Cf-Ray", "Cf-Visitor", "Connection", "Content-Encoding", "Content-Language",
	"Content-Length", "Content-Type", "Cookie", "Date", "Dnt", "Expect", "Forwarded", "From", "Host", "If-Match",
	"If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Keep-Alive", "Origin", "Pragma", "Priority", "Range",
	"Referer", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site",
	"Sec-Fetch-User", "Sec-Gpc", "Te", "Traceparent", "Tracestate", "Transfer-Encoding", "Upgrade", "Upgrade-Insecure-Requests",
	"User-Agent", "Via", "X-Csrf-Token", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto",
	"X-Real-Ip", "X-Request-Id", "X-Requested-With", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0", "GET", "HEAD", "POST", "PUT",
	"PATCH", "DELETE", "OPTIONS", "name", "mime", "size", "error", "tmpName",
};

#define RR_NAMES 512
static zend_string *names[RR_NAMES];

void rr_request_startup(void)
{
	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++) {
		zend_string *s = zend_string_init_interned(common[i], strlen(common[i]), 1);
		zend_ulong h = zend_string_hash_val(s);

		while (names[h & (RR_NAMES - 1)] != NULL) {
			h++;
		}
		names[h & (RR_NAMES - 1)] = s;
	}
}

/* A string; one of the table without a copy. */
static zend_string *string_of(const char *s, size_t length, bool lookup)
{
	zend_string *new;
	zend_ulong h, at;

	if (length == 0) {
		return ZSTR_EMPTY_ALLOC();
	}
	if (length == 1) {
		return ZSTR_CHAR((zend_uchar) *s);
	}
	if (!lookup) {
		return zend_string_init(s, length, 0);
	}
	h = zend_hash_func(s, length);
	for (at = h; names[at & (RR_NAMES - 1)] != NULL; at++) {
		zend_string *known = names[at & (RR_NAMES - 1)];
		if (ZSTR_H(known) == h && ZSTR_LEN(known) == length && memcmp(ZSTR_VAL(known), s, length) == 0) {
			return known;
		}
	}
	new = zend_string_init(s, length, 0);
	ZSTR_H(new) = h;
	return new;
}

/* Adds value under a name; as PHP does it, "12" is the number 12. */
static void set(HashTable *map, zend_string *name, zval *value)
{
	zend_symtable_update(map, name, value);
	zend_string_release(name);
}

/* --- JSON ------------------------------------------------------------------ */

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
				return string_of((const char *) start, plain, lookup);
			}
			memcpy(j->text + length, start, plain);
			return string_of(j->text, length + plain, lookup);
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
		set(Z_ARRVAL_P(v), name, &item);
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

/* --- protobuf: what RR\Http\Proto::request() reads ------------------------- */

typedef struct {
	const unsigned char *p, *end;
} proto;

static bool varint(proto *m, uint64_t *n)
{
	*n = 0;
	for (int shift = 0; shift < 70; shift += 7) {
		uint64_t byte;

		if (m->p == m->end) {
			return false;
		}
		byte = *m->p++;
		*n |= (byte & 0x7f) << shift;
		if (byte < 0x80) {
			return *n <= INT64_MAX;
		}
	}
	return false;
}

/* The tag of the next field and what it holds: the bytes of a length-delimited
 * field, else a number, 0 for those that have none. */
static bool field(proto *m, uint64_t *tag, proto *bytes, uint64_t *number)
{
	uint64_t n = 0;

	*number = 0;
	if (!varint(m, tag)) {
		return false;
	}
	switch (*tag & 7) {
		case 0:
			return varint(m, number);
		case 1:
			n = 8;
			break;
		case 2:
			if (!varint(m, &n)) {
				return false;
			}
			break;
		case 5:
			n = 4;
			break;
		default:
			return false;
	}
	if (n > (uint64_t) (m->end - m->p)) {
		return false;
	}
	bytes->p = m->p;
	bytes->end = m->p += n;
	return true;
}

static inline zend_string *proto_string(proto bytes, bool lookup)
{
	return string_of((const char *) bytes.p, (size_t) (bytes.end - bytes.p), lookup);
}

/* An entry of a map<string, HeaderValue>: its values as a list, or, if first is
 * set, the first of them. */
static bool entry(proto m, HashTable *map, bool first)
{
	proto key = {NULL, NULL}, part, value;
	uint64_t tag, number;
	zval values, one;

	ZVAL_NULL(&one);
	if (!first) {
		array_init_size(&values, 1);
		zend_hash_real_init_packed(Z_ARRVAL(values));
	}
	while (m.p < m.end) {
		if (!field(&m, &tag, &part, &number)) {
			goto broken;
		}
		if (tag == 0x0a) {
			key = part;
		} else if (tag == 0x12) {
			while (part.p < part.end) {
				if (!field(&part, &tag, &value, &number)) {
					goto broken;
				}
				if (tag != 0x0a) {
					continue;
				}
				if (!first) {
					zval v;
					ZVAL_STR(&v, proto_string(value, false));
					zend_hash_next_index_insert_new(Z_ARRVAL(values), &v);
				} else if (Z_TYPE(one) == IS_NULL) {
					ZVAL_STR(&one, proto_string(value, false));
				}
			}
		}
	}
	if (first && Z_TYPE(one) == IS_NULL) {
		ZVAL_EMPTY_STRING(&one);
	}
	set(map, proto_string(key, true), first ? &one : &values);
	return true;
broken:
	zval_ptr_dtor_nogc(first ? &one : &values);
	return false;
}

bool rr_decode_proto(const char *context, size_t length, zval *return_value)
{
	enum { REMOTE, PROTOCOL, METHOD, URI, HEADERS, COOKIES, QUERY, PARSED, UPLOADS, ATTRIBUTES, FIELDS };
	proto m = {(const unsigned char *) context, (const unsigned char *) context + length}, part;
	proto text[FIELDS] = {{NULL, NULL}};
	uint64_t tag, number;
	bool parsed = false;
	zval headers, cookies, attributes, v;
	HashTable *request;

	array_init(&headers);
	array_init(&cookies);
	array_init(&attributes);
	while (m.p < m.end) {
		if (!field(&m, &tag, &part, &number)) {
			goto refuse;
		}
		if ((tag & 7) != 2) {
			if (tag == 0x40) {
				parsed = number != 0;
			}
			continue;
		}
		switch (tag >> 3) {
			case 1: text[REMOTE] = part; break;
			case 2: text[PROTOCOL] = part; break;
			case 3: text[METHOD] = part; break;
			case 4: text[URI] = part; break;
			case 7: text[QUERY] = part; break;
			case 5:
				if (!entry(part, Z_ARRVAL(headers), false)) {
					goto refuse;
				}
				break;
			case 6:
				if (!entry(part, Z_ARRVAL(cookies), true)) {
					goto refuse;
				}
				break;
			case 10:
				if (!entry(part, Z_ARRVAL(attributes), true)) {
					goto refuse;
				}
				break;
			case 9:
				/* JSON; a request with files has more to do than this. */
				if (part.p < part.end) {
					goto refuse;
				}
				break;
		}
	}
	array_init_size(return_value, FIELDS);
	request = Z_ARRVAL_P(return_value);
	zend_hash_real_init_mixed(request);
#define ADD(name, value) \
	do { \
		zend_string *key_ = string_of(name, sizeof(name) - 1, true); \
		zend_hash_add_new(request, key_, value); \
		zend_string_release(key_); \
	} while (0)
#define ADD_TEXT(name, field, lookup) \
	do { \
		ZVAL_STR(&v, proto_string(text[field], lookup)); \
		ADD(name, &v); \
	} while (0)
	ADD_TEXT("remoteAddr", REMOTE, false);
	ADD_TEXT("protocol", PROTOCOL, true);
	ADD_TEXT("method", METHOD, true);
	ADD_TEXT("uri", URI, false);
	ADD("headers", &headers);
	ADD("cookies", &cookies);
	ADD_TEXT("rawQuery", QUERY, false);
	ZVAL_BOOL(&v, parsed);
	ADD("parsed", &v);
	ZVAL_NULL(&v);
	ADD("uploads", &v);
	ADD("attributes", &attributes);
#undef ADD
#undef ADD_TEXT
	return true;
refuse:
	zval_ptr_dtor_nogc(&headers);
	zval_ptr_dtor_nogc(&cookies);
	zval_ptr_dtor_nogc(&attributes);
	ZVAL_NULL(return_value);
	return false;
}

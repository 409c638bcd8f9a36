/* The context of an HTTP request in protobuf: what RR\Http\Proto::request() reads, as
 * far as request.h says. */
#include "php_rr.h"
#include "request.h"

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
	return rr_string((const char *) bytes.p, (size_t) (bytes.end - bytes.p), lookup);
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
	rr_set(map, proto_string(key, true), first ? &one : &values);
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
		zend_string *key_ = rr_string(name, sizeof(name) - 1, true); \
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
